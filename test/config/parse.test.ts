import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { loadConfig } from '../../src/config/parse.ts';
import type { Settings } from '../../src/config/types.ts';

const good = {
  R2_ENDPOINT: 'https://abc123.r2.cloudflarestorage.com',
  R2_ACCESS_KEY: 'access-key-of-a-test',
  R2_SECRET_KEY: 'secret-key-of-a-test',
};

const load = (env: Settings) => loadConfig({ ...good, ...env }, { needStore: true });
const configOf = (env: Settings) => {
  const loaded = load(env);
  expect(loaded.problems).toEqual([]);
  return loaded.config!;
};
const onlyProblem = (env: Settings) => {
  const { problems, config } = load(env);
  expect(config).toBeUndefined();
  expect(problems).toHaveLength(1);
  return problems[0]!;
};

test('endpoint and keys are all that is needed', () => {
  const { config, problems, warnings } = loadConfig(good, { needStore: true });
  expect({ problems, warnings }).toEqual({ problems: [], warnings: [] });
  expect(config).toMatchObject({
    endpoint: good.R2_ENDPOINT,
    bucket: 'runpod',
    accessKeyId: good.R2_ACCESS_KEY,
    secretAccessKey: good.R2_SECRET_KEY,
    outputDir: '/workspace/ComfyUI/output',
    keyTemplate: 'outputs/{path}/{date}/{name}-{hash16}{ext}',
    timezone: 'UTC',
    exclude: [],
    concurrency: 4,
    scanSeconds: 10,
    quietSeconds: 5,
    writers: 'local',
    existing: 'upload',
    foreignSeconds: 10,
    lease: true,
    leaseSeconds: 45,
    drainSeconds: 8,
    statusHost: '127.0.0.1',
    statusPort: 8190,
    logLevel: 'info',
  });
  for (const unset of ['sessionToken', 'stateDir', 'bandwidthMbps', 'maxMb', 'statusToken']) {
    expect(config).not.toHaveProperty(unset);
  }
  for (const kind of ['png', 'mp4', 'flac', 'glb', 'latent']) expect(config!.extensions).toContain(kind);
  expect(config!.extensions).not.toContain('safetensors');
});

test('every mistake is reported at once, each with what to do', () => {
  const { config, problems } = loadConfig(
    {
      R2_CONCURRENCY: 'many',
      R2_TIMEZONE: 'Mars/Base',
      R2_WRITERS: 'both',
      R2_LEASE: 'perhaps',
      R2_STATUS_PORT: '70000',
    },
    { needStore: true },
  );
  expect(config).toBeUndefined();
  expect(problems.map(({ name }) => name).sort()).toEqual([
    'R2_ACCESS_KEY',
    'R2_CONCURRENCY',
    'R2_ENDPOINT',
    'R2_LEASE',
    'R2_SECRET_KEY',
    'R2_STATUS_PORT',
    'R2_TIMEZONE',
    'R2_WRITERS',
  ]);
  for (const { name, message, fix } of problems) {
    expect(message).toContain(name);
    expect(fix).toContain('r2-sync config set');
    expect(fix).toContain('erases its container disk');
  }
});

test('a fix never asks for a secret on the command line, where the process list shows it', () => {
  const { problems } = loadConfig({}, { needStore: true });
  const fix = problems.find(({ name }) => name === 'R2_SECRET_KEY')!.fix;
  expect(fix).toContain('r2-sync config set R2_SECRET_KEY.');
  expect(fix).not.toContain('R2_SECRET_KEY=');
});

test('without a store, endpoint and keys may be missing', () => {
  const { config, problems } = loadConfig({}, { needStore: false });
  expect(problems).toEqual([]);
  expect(config).toMatchObject({ endpoint: '', accessKeyId: '', secretAccessKey: '', bucket: 'runpod' });
});

describe('values are read the way people write them', () => {
  test.each<[string, string, keyof typeof good | string, unknown]>([
    ['R2_BUCKET', '  my-pictures ', 'bucket', 'my-pictures'],
    ['R2_BUCKET', '"my-pictures"', 'bucket', 'my-pictures'],
    ['R2_BUCKET', ` ' my-pictures ' `, 'bucket', 'my-pictures'],
    ['R2_BUCKET', '', 'bucket', 'runpod'],
    ['R2_BUCKET', '""', 'bucket', 'runpod'],
    ['R2_LEASE', 'OFF', 'lease', false],
    ['R2_LEASE', '0', 'lease', false],
    ['R2_LEASE', 'no', 'lease', false],
    ['R2_LEASE', 'False', 'lease', false],
    ['R2_LEASE', 'On', 'lease', true],
    ['R2_LEASE', '1', 'lease', true],
    ['R2_LEASE', 'YES', 'lease', true],
    ['R2_LEASE', 'true', 'lease', true],
    ['R2_WRITERS', 'Remote', 'writers', 'remote'],
    ['R2_EXISTING', 'SKIP', 'existing', 'skip'],
    ['R2_STATUS_PORT', '0', 'statusPort', 0],
    ['R2_STATUS_HOST', '::', 'statusHost', '::'],
    ['R2_SCAN_SECONDS', '2.5', 'scanSeconds', 2.5],
    ['R2_MAX_MB', '2000', 'maxMb', 2000],
    ['R2_BANDWIDTH_MBPS', '12.5', 'bandwidthMbps', 12.5],
    ['R2_TIMEZONE', 'Europe/Berlin', 'timezone', 'Europe/Berlin'],
    ['R2_EXTENSIONS', '.PNG, mp4; *.Jpg', 'extensions', new Set(['png', 'mp4', 'jpg'])],
    ['R2_EXCLUDE', '/drafts/, *_{a,b}.png,, ./x/**', 'exclude', ['drafts/**', '*_{a,b}.png', 'x/**']],
    ['R2_STATE_DIR', '/state/', 'stateDir', '/state'],
    ['COMFYUI_OUTPUT_DIR', './out', 'outputDir', `${process.cwd()}/out`],
    ['R2_KEY_TEMPLATE', 'a/{hash}{ext}', 'keyTemplate', 'a/{hash}{ext}'],
    ['R2_RUN_DIR', '/run/elsewhere', 'runDir', '/run/elsewhere'],
  ])('%s=%j', (name, text, key, value) => {
    expect(configOf({ [name]: text })).toHaveProperty([key], value);
  });

  test('both names of the keys are understood', () => {
    const env = { R2_ENDPOINT: good.R2_ENDPOINT, R2_ACCESS_KEY_ID: 'first-key', R2_SECRET_ACCESS_KEY: 'second-key' };
    const { config, warnings } = loadConfig(env, { needStore: true });
    expect(config).toMatchObject({ accessKeyId: 'first-key', secretAccessKey: 'second-key' });
    expect(warnings).toEqual([]);
  });

  test('two names with two values: the first counts, with a warning', () => {
    const { config, warnings } = load({ R2_ACCESS_KEY_ID: 'another-key' });
    expect(config!.accessKeyId).toBe(good.R2_ACCESS_KEY);
    expect(warnings).toEqual([expect.stringMatching(/R2_ACCESS_KEY and R2_ACCESS_KEY_ID .* R2_ACCESS_KEY is used/)]);
  });
});

describe('a value that cannot be right is a problem', () => {
  test.each([
    ['R2_BUCKET', 'My_Pictures', 'lower-case'],
    ['R2_CONCURRENCY', '0', 'from 1 to 32'],
    ['R2_CONCURRENCY', '2.5', 'whole number'],
    ['R2_SCAN_SECONDS', '10s', 'number from'],
    ['R2_LEASE', 'maybe', 'true or false'],
    ['R2_LEASE_SECONDS', '1', 'from 6'],
    ['R2_TIMEZONE', 'Berlin', 'no time zone'],
    ['R2_EXTENSIONS', '*', 'one by one'],
    ['R2_EXTENSIONS', 'tar.gz', 'second dot'],
    ['R2_STATUS_TOKEN', 'tiny-1', 'shorter than 8'],
    ['R2_SECRET_KEY', 'with a blank', 'blank'],
    ['R2_STATUS_HOST', 'http://0.0.0.0', 'address'],
    ['R2_LOG_LEVEL', 'loud', 'error, warn, info, debug or trace'],
    ['R2_KEY_TEMPLATE', 'outputs/{name}{ext}', 'no {hash16} or {hash}'],
    ['R2_KEY_TEMPLATE', '/{hash}', 'slash'],
    ['R2_KEY_TEMPLATE', '../{hash}', "'..'"],
    ['R2_KEY_TEMPLATE', '{hash}/', 'slash'],
    ['R2_KEY_TEMPLATE', '{hash}{user}', 'no braces but'],
    ['R2_KEY_TEMPLATE', '{hash}}', 'no braces but'],
    ['R2_KEY_TEMPLATE', 'a\u0007{hash}', 'control characters'],
    ['COMFYUI_OUTPUT_DIR', '/a\0b', 'NUL'],
  ])('%s=%j', (name, text, part) => {
    const problem = onlyProblem({ [name]: text });
    expect(problem.name).toBe(name);
    expect(problem.message).toContain(part);
  });

  test('a key template that leaves no room for names', () => {
    expect(onlyProblem({ R2_KEY_TEMPLATE: `${'x'.repeat(400)}{hash}` }).message).toContain('too long');
  });

  test('a RunPod secret that was never put in its place is named', () => {
    const problem = onlyProblem({ R2_SECRET_KEY: '{{ RUNPOD_SECRET_r2_secret }}' });
    expect(problem.message).toContain('{{ RUNPOD_SECRET_r2_secret }}');
    expect(problem.fix).toContain('RunPod');
    for (const text of ['{{RUNPOD_SECRET_x}}', 'https://{{ RUNPOD_SECRET_account }}.r2.cloudflarestorage.com']) {
      expect(onlyProblem({ R2_ENDPOINT: text }).message).toContain('placeholder');
    }
  });
});

describe('the endpoint', () => {
  test.each<[string, string, string]>([
    ['https://abc.r2.cloudflarestorage.com', 'https://abc.r2.cloudflarestorage.com', 'runpod'],
    ['https://abc.r2.cloudflarestorage.com/', 'https://abc.r2.cloudflarestorage.com', 'runpod'],
    ['https://abc.eu.r2.cloudflarestorage.com/my-pictures', 'https://abc.eu.r2.cloudflarestorage.com', 'my-pictures'],
    ['HTTPS://ABC.r2.cloudflarestorage.com/my-pictures/', 'https://abc.r2.cloudflarestorage.com', 'my-pictures'],
    ['http://localhost:8787', 'http://localhost:8787', 'runpod'],
    ['http://127.8.9.1:9000/', 'http://127.8.9.1:9000', 'runpod'],
    ['http://[::1]:9000', 'http://[::1]:9000', 'runpod'],
    ['http://127.0.0.1:8787/cdn-cgi/local/r2/s3', 'http://127.0.0.1:8787/cdn-cgi/local/r2/s3', 'runpod'],
  ])('%s is understood', (text, endpoint, bucket) => {
    expect(configOf({ R2_ENDPOINT: text })).toMatchObject({ endpoint, bucket });
  });

  test.each([
    ['abc.r2.cloudflarestorage.com', 'no https://', 'Write https://abc.r2.cloudflarestorage.com'],
    ['localhost:8787', 'no http://', 'Write http://localhost:8787'],
    ['0123456789abcdef0123456789abcdef', 'no https://', 'https://<account id>.r2.cloudflarestorage.com'],
    ['http://abc.r2.cloudflarestorage.com', 'unencrypted', 'https://'],
    ['http://127.0.0.1.example.com', 'unencrypted', 'https://'],
    ['ftp://abc.r2.cloudflarestorage.com', 'https://', 'https://'],
    ['https://', "isn't an address", 'https://'],
    ['https://key:word@abc.r2.cloudflarestorage.com', 'password', 'R2_SECRET_KEY'],
    ['https://abc.r2.cloudflarestorage.com/?x=1', 'query', '<account id>'],
    ['https://abc.r2.cloudflarestorage.com/a/b', 'no bucket name', 'https://abc.r2.cloudflarestorage.com'],
    ['https://pub-123.r2.dev', 'public address', '<account id>'],
  ])('%s is refused with what to write', (text, part, fix) => {
    const problem = onlyProblem({ R2_ENDPOINT: text });
    expect(problem.message).toContain(part);
    expect(problem.fix).toContain(fix);
    expect(JSON.stringify(problem)).not.toContain('key:word');
  });

  test('with the bucket that R2_BUCKET names is fine, with another one is not', () => {
    const R2_ENDPOINT = `${good.R2_ENDPOINT}/my-pictures`;
    expect(configOf({ R2_ENDPOINT, R2_BUCKET: 'my-pictures' }).bucket).toBe('my-pictures');
    expect(onlyProblem({ R2_ENDPOINT, R2_BUCKET: 'others' }).name).toBe('R2_BUCKET');
  });
});

describe('a name that is no setting', () => {
  test.each([
    ['R2_BUKCET', 'did you mean R2_BUCKET?'],
    ['R2_ACCESS_KEYID', 'did you mean R2_ACCESS_KEY_ID?'],
    ['R2_BUCKET_NAME', 'did you mean R2_BUCKET?'],
    ['R2_SECRET', 'did you mean R2_SECRET_KEY?'],
    ['R2_SECRET_KEY_FIEL', 'did you mean R2_SECRET_KEY_FILE?'],
    ['r2_bucket', 'did you mean R2_BUCKET?'],
    ['R2_XYLOPHONE_PLAYERS', '--help'],
  ])('%s earns a warning: %s', (name, hint) => {
    const { warnings, config } = load({ [name]: 'something' });
    expect(config).toBeDefined();
    expect(warnings).toEqual([expect.stringContaining(hint)]);
    expect(warnings[0]).toContain(name);
  });

  test('the names of the test credentials and of other programs are left alone', () => {
    expect(load({ R2_TEST_BUCKET: 'x', R2_UNUSED: '', PATH: '/bin', ENABLE_R2_SYNC: 'perhaps' }).warnings).toEqual([]);
  });
});

test('the status page can be served while everything else is wrong', () => {
  const { config, partial } = loadConfig(
    {
      R2_STATUS_PORT: '9000',
      R2_STATUS_HOST: 'no host!',
      R2_STATUS_TOKEN: 'long-enough',
      R2_LOG_LEVEL: '?',
      R2_RUN_DIR: '/r',
    },
    { needStore: true },
  );
  expect(config).toBeUndefined();
  expect(partial).toEqual({
    statusHost: '127.0.0.1',
    statusPort: 9000,
    statusToken: 'long-enough',
    logLevel: 'info',
    runDir: '/r',
    webhookFormat: 'auto',
    webhookAfterSeconds: 60,
  });
});

test('what was found while reading the sources is passed on, and no setting is complained about twice', () => {
  const earlier = { problems: [{ name: 'R2_SECRET_KEY', message: 'no file', fix: 'make it' }], warnings: ['careful'] };
  const loaded = loadConfig({ ...good, R2_SECRET_KEY: '' }, { needStore: true, earlier });
  expect(loaded.config).toBeUndefined();
  expect(loaded.problems).toEqual(earlier.problems);
  expect(loaded.warnings).toEqual(earlier.warnings);
});

describe('invariant 8: secrets stay secret', () => {
  test('all of them are handed to the redaction, also those of other names', () => {
    const { secrets } = load({
      R2_ACCESS_KEY_ID: 'other-name',
      R2_SESSION_TOKEN: ' "session" ',
      R2_STATUS_TOKEN: 'status-token',
      RUNPOD_API_KEY: 'rpa_1234',
    });
    expect([...secrets].sort()).toEqual(
      [good.R2_ACCESS_KEY, good.R2_SECRET_KEY, 'other-name', 'rpa_1234', 'session', 'status-token'].sort(),
    );
  });

  test('a text that is a secret elsewhere is cut out of whatever repeats it', () => {
    const R2_SECRET_KEY = 'looks.like.a.host';
    const problem = onlyProblem({ R2_SECRET_KEY, R2_ENDPOINT: R2_SECRET_KEY });
    expect(problem.fix).toContain('Write https://[redacted].');
    const earlier = {
      problems: [{ name: 'R2_BUCKET', message: R2_SECRET_KEY, fix: R2_SECRET_KEY }],
      warnings: [R2_SECRET_KEY],
    };
    const { problems, warnings } = loadConfig({ ...good, R2_SECRET_KEY }, { needStore: true, earlier });
    expect(JSON.stringify({ problems, warnings })).not.toContain(R2_SECRET_KEY);
  });

  test('a key in the wrong variable is not repeated', () => {
    const key = '0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef';
    for (const name of ['R2_ENDPOINT', 'R2_BUCKET', 'R2_CONCURRENCY', 'R2_TIMEZONE', 'R2_KEY_TEMPLATE']) {
      const { problems } = load({ [name]: key });
      const shown = problems.map(({ message, fix }) => message + fix).join();
      expect(problems).not.toEqual([]);
      expect(shown).not.toContain(key.slice(0, 12));
    }
    const inPlaceholder = onlyProblem({ R2_SECRET_KEY: `{{ RUNPOD_SECRET_${key} }}` });
    expect(JSON.stringify(inPlaceholder)).not.toContain(key.slice(0, 12));
  });

  const names = [
    ...[
      'ENABLE_R2_SYNC',
      'R2_ENDPOINT',
      'R2_BUCKET',
      'COMFYUI_OUTPUT_DIR',
      'R2_KEY_TEMPLATE',
      'R2_EXTENSIONS',
      'R2_EXCLUDE',
    ],
    ...[
      'R2_TIMEZONE',
      'R2_CONCURRENCY',
      'R2_LEASE',
      'R2_STATUS_HOST',
      'R2_LOG_LEVEL',
      'R2_RUN_DIR',
      'R2_BUKCET',
      'R2_SESSION_TOKEN',
    ],
  ];
  const secretNames = [
    'R2_ACCESS_KEY',
    'R2_ACCESS_KEY_ID',
    'R2_SECRET_KEY',
    'R2_SECRET_ACCESS_KEY',
    'R2_STATUS_TOKEN',
    'RUNPOD_API_KEY',
  ];

  test('whatever the environment: nothing throws, and no message holds a secret', () => {
    // Long enough not to be a word of a message by chance.
    const secret = fc.string({ unit: 'binary', minLength: 12, maxLength: 70 }).map((text) => `S${text.trim()}#z`);
    fc.assert(
      fc.property(
        secret,
        fc.constantFrom(...secretNames),
        fc.dictionary(fc.oneof(fc.constantFrom(...names), fc.string()), fc.string({ unit: 'binary' })),
        fc.array(
          fc.tuple(
            fc.constantFrom(...names, 'R2_'),
            fc.string(),
            fc.constantFrom('', 'https://', 'https://a.b/', '{{ RUNPOD_SECRET_', 'R2_'),
          ),
        ),
        fc.boolean(),
        (value, name, env, leaks, needStore) => {
          const leaked = leaks.map(([where, after, before]) => [where, `${before}${value}${after}`]);
          const { problems, warnings, secrets } = loadConfig(
            { ...env, ...Object.fromEntries(leaked), [`R2_${value}`]: 'x', [name]: value },
            { needStore },
          );
          expect(secrets).toContain(value);
          const shown = [...problems.flatMap(({ message, fix }) => [message, fix]), ...warnings];
          expect(shown.filter((text) => text.includes(value))).toEqual([]);
        },
      ),
      { numRuns: 100 },
    );
  });
});

describe('what no file depends on', () => {
  const webhook = (text: string) => load({ R2_WEBHOOK_URL: text });

  test('an address with a % that stands for nothing is told, and ends no agent when a message is due', () => {
    const { config, asides } = webhook('https://user:p%zz@hook.example/x');
    expect(config?.webhookUrl).toBeUndefined();
    expect(asides).toMatchObject([{ name: 'R2_WEBHOOK_URL', fix: expect.stringContaining('%25') }]);
    expect(webhook('https://user:p%25zz@hook.example/x').asides).toEqual([]);
  });

  test('a wrong value is told, counts as unset, and keeps nothing from being uploaded', () => {
    const { config, problems, asides, secrets } = load({
      R2_WEBHOOK_URL: 'ftp://hook.example/S3CRET',
      R2_WEBHOOK_DIGEST: 'often',
      R2_ON_STORED_SECONDS: '-1',
      R2_LOW_SPACE_MB: 'little',
    });
    expect(problems).toEqual([]);
    expect(config).toMatchObject({ webhookDigest: 0, onStoredSeconds: 60 });
    expect(config?.webhookUrl).toBeUndefined();
    expect(config?.lowSpaceMb).toBeUndefined();
    expect(asides.map(({ name }) => name)).toEqual([
      'R2_WEBHOOK_URL',
      'R2_WEBHOOK_DIGEST',
      'R2_LOW_SPACE_MB',
      'R2_ON_STORED_SECONDS',
    ]);
    expect(JSON.stringify(asides)).not.toContain('S3CRET');
    expect(secrets).toContain('ftp://hook.example/S3CRET');
  });

  test('a file that cannot be read for it is told just so', () => {
    const problem = { name: 'R2_WEBHOOK_URL', message: 'The file is empty.', fix: 'Fill it.' };
    const { config, asides } = loadConfig(good, { needStore: true, earlier: { problems: [problem], warnings: [] } });
    expect(config).toBeDefined();
    expect(asides).toEqual([problem]);
  });

  test('messages can be sent while everything else is wrong', () => {
    const { config, partial } = loadConfig(
      { R2_BUCKET: '?', R2_WEBHOOK_URL: 'https://hook.example/x', R2_WEBHOOK_FORMAT: 'slack' },
      { needStore: true },
    );
    expect(config).toBeUndefined();
    expect(partial).toMatchObject({ webhookFormat: 'slack', webhookAfterSeconds: 60 });
    expect(partial.webhookUrl?.href).toBe('https://hook.example/x');
  });

  test.each([
    'https://hook.example/x',
    'http://127.0.0.1:8080/x',
    'http://localhost/x',
    'http://192.168.1.5/x',
    'http://10.0.0.5/x',
    'http://172.31.0.1/x',
    'http://[::1]/x',
    'http://[fd12::1]/x',
    'http://ntfy:80/topic',
    'http://ntfy.home.lan/topic',
    'http://100.64.0.7/x',
  ])('messages may go to %s', (url) => expect(webhook(url).asides).toEqual([]));

  test.each([
    'http://hook.example/x',
    'http://172.32.0.1/x',
    'http://192.169.1.1/x',
    'http://[2001:db8::1]/x',
    'http://10.0.0.5.example.com/x',
    'http://2130706434/x'.replace('2130706434', '134744072'),
    'file:///etc/passwd',
    'hook.example/x',
  ])('but not to %s', (url) => expect(webhook(url).asides).toHaveLength(1));

  test.each([
    ['/a/hook.sh', ['/a/hook.sh']],
    ['hook  --fast\tx', ['hook', '--fast', 'x']],
    ['["/a b/hook", "two words", ""]', ['/a b/hook', 'two words', '']],
    ['["/bin/sh", "-c", "echo \\"$R2_FILE_KEY\\" | cat"]', ['/bin/sh', '-c', 'echo "$R2_FILE_KEY" | cat']],
  ])('the program %s is %j', (text, words) => expect(load({ R2_ON_STORED: text }).config?.onStored).toEqual(words));

  test.each(['/a/hook "two words"', 'echo $R2_FILE_PATH', 'a | b', '[]', '[1]', '["", "x"]', '["a"', 'a; b'])(
    'the program %s is refused, and what to write is said',
    (text) => {
      const { config, asides } = load({ R2_ON_STORED: text });
      expect(config?.onStored).toBeUndefined();
      expect(asides[0]!.fix).toMatch(/JSON list/);
    },
  );
});
