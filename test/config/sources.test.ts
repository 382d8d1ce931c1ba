import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { formatLines, parseLines } from '../../src/config/lines.ts';
import { loadConfig } from '../../src/config/parse.ts';
import { readSettings, runDirOf, saveSetting } from '../../src/config/sources.ts';
import { UserError } from '../../src/errors.ts';

let temp: string;
let runDir: string;

beforeEach(() => {
  temp = mkdtempSync(join(tmpdir(), 'r2-sync-config-'));
  runDir = join(temp, 'run');
});
afterEach(() => rmSync(temp, { recursive: true, force: true }));

const read = (env: Record<string, string> = {}) => readSettings({ ...env, R2_RUN_DIR: runDir });

/** A file under the test's directory; a relative name. */
function put(name: string, text: string, mode = 0o600): string {
  const path = join(temp, name);
  mkdirSync(join(path, '..'), { recursive: true, mode: 0o700 });
  writeFileSync(path, text);
  chmodSync(path, mode);
  return path;
}

describe('which value counts', () => {
  test('config set wins over the environment, the environment over what the start script kept', () => {
    put('run/env', 'R2_BUCKET=from-start\nR2_TIMEZONE=Europe/Berlin\nR2_CONCURRENCY=2\n');
    saveSetting(runDir, 'R2_BUCKET', 'from-set');
    const { settings, problems, warnings } = read({ R2_BUCKET: 'from-env', R2_TIMEZONE: 'Asia/Tokyo' });
    expect(settings).toMatchObject({ R2_BUCKET: 'from-set', R2_TIMEZONE: 'Asia/Tokyo', R2_CONCURRENCY: '2' });
    expect({ problems, warnings }).toEqual({ problems: [], warnings: [] });
  });

  test('an SSH shell, which has none of the variables, gets all of them', () => {
    put(
      'run/env',
      '# by start.sh\n\nexport R2_BUCKET="a-bucket"\r\nR2_EXCLUDE=\'drafts/**\'\nRUNPOD_POD_ID=abc\nRUNPOD_API_KEY=rpa_123\n',
    );
    const { settings } = read();
    const { config, secrets } = loadConfig(settings, { needStore: false });
    expect(config).toMatchObject({ bucket: 'a-bucket', exclude: ['drafts/**'], runDir });
    expect(settings).toHaveProperty('RUNPOD_POD_ID', 'abc');
    expect(secrets).toContain('rpa_123');
  });

  test('an empty value hides nothing', () => {
    put('run/env', 'R2_BUCKET=from-start\n');
    expect(read({ R2_BUCKET: ' ' }).settings).toMatchObject({ R2_BUCKET: 'from-start' });
    put('run/set', 'R2_BUCKET=\n');
    expect(read({ R2_BUCKET: 'from-env' }).settings).toMatchObject({ R2_BUCKET: 'from-env' });
  });

  test('config set puts a wrong variable right under whichever name it was given', () => {
    saveSetting(runDir, 'R2_SECRET_KEY', 'the-right-one');
    const wrong = put('wrong', 'the-wrong-one');
    for (const name of ['R2_SECRET_KEY', 'R2_SECRET_ACCESS_KEY', 'R2_SECRET_KEY_FILE', 'R2_SECRET_ACCESS_KEY_FILE']) {
      const { settings, warnings } = read({ [name]: name.endsWith('_FILE') ? wrong : 'the-wrong-one' });
      const loaded = loadConfig(settings, { needStore: true });
      expect(loaded.problems.map(({ name }) => name)).not.toContain('R2_SECRET_KEY');
      expect(loaded.secrets).toEqual(['the-right-one']);
      expect(warnings).toEqual([]);
    }
  });

  test('only the environment moves the run directory', () => {
    put('run/env', 'R2_RUN_DIR=/elsewhere\n');
    put('run/set', 'R2_RUN_DIR=/elsewhere\n');
    expect(read().settings).toMatchObject({ R2_RUN_DIR: runDir });
  });

  test('without R2_RUN_DIR it is a directory that only this user can have', () => {
    const expected = process.getuid!() === 0 ? '/run/r2-sync' : '/run/user/4711/r2-sync';
    expect(runDirOf({ XDG_RUNTIME_DIR: '/run/user/4711' })).toBe(expected);
  });
});

describe('secrets in files', () => {
  test('NAME_FILE gives what the file holds, for any name of any setting', () => {
    const key = put('key', ' the-key \n');
    const { settings, problems } = read({
      R2_SECRET_ACCESS_KEY_FILE: key,
      R2_BUCKET_FILE: put('bucket', 'my-pictures\n', 0o444),
    });
    expect(problems).toEqual([]);
    const { config, secrets } = loadConfig(settings, { needStore: false });
    expect(config).toMatchObject({ secretAccessKey: 'the-key', bucket: 'my-pictures' });
    expect(secrets).toEqual(['the-key']);
  });

  test('a file that changes is read anew', () => {
    const R2_SECRET_KEY_FILE = put('key', 'first-key');
    expect(read({ R2_SECRET_KEY_FILE }).settings).toMatchObject({ R2_SECRET_KEY: 'first-key' });
    put('key', 'second-key');
    expect(read({ R2_SECRET_KEY_FILE }).settings).toMatchObject({ R2_SECRET_KEY: 'second-key' });
  });

  test('the file wins over a value beside it, with a warning that shows neither', () => {
    const { settings, warnings } = read({ R2_SECRET_KEY: 'plain-key', R2_SECRET_KEY_FILE: put('key', 'file-key') });
    expect(settings).toMatchObject({ R2_SECRET_KEY: 'file-key' });
    expect(warnings).toEqual(['R2_SECRET_KEY and R2_SECRET_KEY_FILE are both set: the file is used.']);
  });

  test.each([
    ['missing', "isn't there"],
    ['.', 'regular file'],
    ['empty', 'is empty'],
    ['huge', 'too large'],
  ])('a file that is no use (%s) is one problem, which names it and what to do', (name, reason) => {
    put('empty', ' \n');
    put('huge', 'x'.repeat(2_000_000));
    const path = join(temp, name);
    const earlier = read({
      R2_SECRET_KEY_FILE: path,
      R2_ACCESS_KEY: 'a',
      R2_ENDPOINT: 'https://a.r2.cloudflarestorage.com',
    });
    const { problems } = loadConfig(earlier.settings, { needStore: true, earlier });
    expect(problems).toHaveLength(1);
    expect(problems[0]).toMatchObject({ name: 'R2_SECRET_KEY' });
    expect(problems[0]!.message).toContain('R2_SECRET_KEY_FILE');
    expect(problems[0]!.message).toContain(path.replace(/\/\.$/, ''));
    expect(problems[0]!.message).toContain(reason);
    expect(problems[0]!.fix).toContain('r2-sync config set');
  });

  test('invariant 8: the key itself in place of its path is not repeated', () => {
    for (const key of ['abcdef0123456789', '/abcdef+0123456789', '/abc/def0123456789', '/a\0b']) {
      const { problems } = read({ R2_SECRET_KEY_FILE: key });
      expect(problems).toHaveLength(1);
      expect(JSON.stringify(problems)).not.toContain(key);
    }
  });
});

describe('config set', () => {
  test('keeps values in a file that only we can read', () => {
    saveSetting(runDir, 'R2_SECRET_KEY', 'the-key');
    expect(statSync(runDir).mode & 0o777).toBe(0o700);
    expect(statSync(join(runDir, 'set')).mode & 0o777).toBe(0o600);
    expect(readdirSync(runDir)).toEqual(['set']);
  });

  test('an empty value forgets the setting and keeps the others', () => {
    saveSetting(runDir, 'R2_BUCKET', 'a-bucket');
    saveSetting(runDir, 'R2_CONCURRENCY', '8');
    saveSetting(runDir, 'R2_BUCKET', '');
    expect(readFileSync(join(runDir, 'set'), 'utf8')).toBe('R2_CONCURRENCY=8\n');
  });

  test('what was said last counts, whichever name was used', () => {
    saveSetting(runDir, 'R2_SECRET_KEY_FILE', put('key', 'file-key'));
    expect(read().settings).toMatchObject({ R2_SECRET_KEY: 'file-key' });
    saveSetting(runDir, 'R2_SECRET_ACCESS_KEY', 'plain-key');
    expect(read().settings).toMatchObject({ R2_SECRET_ACCESS_KEY: 'plain-key' });
    expect(read().settings).not.toHaveProperty('R2_SECRET_KEY');
  });

  test.each([
    ['R2_BUKCET', 'x', /R2_BUKCET is no setting/, /Did you mean R2_BUCKET\?/],
    ['PATH', '/bin', /PATH is no setting/, /--help/],
    ['R2_RUN_DIR', '/x', /can't be changed/, /when the container/],
    ['ENABLE_R2_SYNC', 'true', /can't be changed/, /when the container/],
    ['R2_CONCURRENCY', 'many', /R2_CONCURRENCY \("many"\) must be a whole number/, /for example 8/],
    ['R2_STATUS_TOKEN', 'tiny-1', /^(?!.*tiny-1).*shorter than 8/, /^(?!.*tiny-1)/],
    ['R2_SECRET_KEY_FILE', '/nowhere/key', /isn't there/, /path of another file/],
  ])('%s=%s is refused, and nothing is written', (name, value, message, fix) => {
    const error = catchError(() => saveSetting(runDir, name, value));
    expect(error).toBeInstanceOf(UserError);
    expect(error).toMatchObject({
      message: expect.stringMatching(message),
      fix: expect.stringMatching(fix),
      exitCode: 2,
    });
    expect(existsSync(join(runDir, 'set'))).toBe(false);
  });

  test('any text survives the file, whatever is in it', () => {
    const value = fc.oneof(fc.string({ unit: 'binary' }), fc.string({ unit: fc.constantFrom(...' "\'\n\r\t#=\\a') }));
    fc.assert(
      fc.property(fc.array(value, { maxLength: 4 }), (values) => {
        const entries = new Map(values.map((text, index) => [`R2_${index}`, text]));
        expect(parseLines(formatLines(entries))).toEqual({ entries, bad: [] });
      }),
    );
    const globs = ' a "b" c/*.png,\n\'d\'\\e/**';
    saveSetting(runDir, 'R2_EXCLUDE', globs);
    expect(read().settings).toMatchObject({ R2_EXCLUDE: globs.trim() });
  });
});

describe('settings files that somebody else could have written are refused', () => {
  const refusal = () => {
    const { settings, problems } = read();
    expect(settings).not.toHaveProperty('R2_ENDPOINT');
    expect(problems).toHaveLength(1);
    expect(problems[0]!.name).toBe('R2_RUN_DIR');
    expect(problems[0]!.message).toContain(runDir);
    return problems[0]!.message;
  };
  const line = 'R2_ENDPOINT=https://evil.example.com\n';

  test.each(['env', 'set'])('%s is writable by others', (name) => {
    put(`run/${name}`, line, 0o666);
    expect(refusal()).toContain('written by other users');
  });

  test('the directory is writable by others: one problem, and config set writes nothing', () => {
    put('run/env', line);
    put('run/set', line);
    chmodSync(runDir, 0o777);
    expect(refusal()).toContain('written by other users');
    expect(catchError(() => saveSetting(runDir, 'R2_BUCKET', 'x-bucket'))).toMatchObject({ exitCode: 2 });
    expect(readFileSync(join(runDir, 'set'), 'utf8')).toBe(line);
  });

  test('the file or the directory is a symlink', () => {
    mkdirSync(runDir, { mode: 0o700 });
    symlinkSync(put('elsewhere/set', line), join(runDir, 'set'));
    expect(refusal()).toContain('symlink');
    rmSync(runDir, { recursive: true });
    symlinkSync(join(temp, 'elsewhere'), runDir);
    expect(refusal()).toContain('no directory');
  });

  test('the directory is a file', () => {
    put('run', line);
    expect(refusal()).toContain('no directory');
  });
});

test('a line that is no setting is left out with a warning that does not repeat it', () => {
  put('run/env', 'R2_BUCKET=a-bucket\nsecond half of a key\n');
  const { settings, warnings } = read();
  expect(settings).toMatchObject({ R2_BUCKET: 'a-bucket' });
  expect(warnings).toEqual([`${join(runDir, 'env')}: not NAME=VALUE, and left out: line 2.`]);
});

function catchError(action: () => void): unknown {
  try {
    action();
  } catch (error) {
    return error;
  }
  throw new Error('nothing was thrown');
}
