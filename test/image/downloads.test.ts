// Models are fetched once, whole, and only those that were asked for.
import { readdirSync, readFileSync, rmSync, statSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { downloadsMissing, filesBelow, hashOf, hashOfFile, makeBytes, makeScene, put } from '../support/downloads.ts';
import { commit } from '../support/model-host.ts';

describe.skipIf(downloadsMissing())('download_models.sh', () => {
  test('a model arrives under its name with exactly its bytes, and nothing else is left beside it', async () => {
    const scene = await makeScene();
    const bytes = makeBytes(20);
    scene.offer('a', bytes);
    scene.offer('b', makeBytes(1));
    const { code, log } = await scene.run({ ENABLE_A: 'true' });
    expect(log).toContain('SHA-256 right');
    expect(log).toContain('1 of 1 file are there, 1 of them fetched now');
    expect(code).toBe(0);
    expect(hashOfFile(scene.at('checkpoints/a.safetensors'))).toBe(hashOf(bytes));
    expect(filesBelow(scene.models).filter((path) => !path.startsWith('.downloads/'))).toEqual([
      'checkpoints/a.safetensors',
    ]);
    expect(readdirSync('/tmp').filter((name) => name.startsWith('download-models.') && log.includes(name))).toEqual([]);
  });

  test('many files come at once, each over several connections', async () => {
    const scene = await makeScene();
    const ids = ['a', 'b', 'c', 'd', 'e'];
    const sent = new Map(ids.map((id) => [id, scene.offer(id, makeBytes(24), { slow: 40e6 }).bytes]));
    const settings = Object.fromEntries(ids.map((id) => [`ENABLE_${id.toUpperCase()}`, 'true']));
    const { code, log } = await scene.run(settings);
    expect(code, log).toBe(0);
    for (const id of ids) expect(hashOfFile(scene.at(`checkpoints/${id}.safetensors`))).toBe(hashOf(sent.get(id)!));
    const ranges = scene.host.seen.filter(({ host, path }) => host === 'storage' && path.includes('a.safetensors'));
    expect(ranges.length).toBeGreaterThan(1);
  });

  test('a file that is there and was checked is not fetched and not even asked for', async () => {
    const scene = await makeScene();
    scene.offer('a', makeBytes(1));
    await scene.run({ ENABLE_A: 'true' });
    scene.host.seen.length = 0;
    const { code, log } = await scene.run({ ENABLE_A: 'true' });
    expect(code, log).toBe(0);
    expect(log).toContain('1 of 1 file are there.');
    expect(scene.host.seen).toEqual([]);
  });

  test('a file that somebody else put there is checked once, and taken if it is right', async () => {
    const scene = await makeScene();
    const bytes = makeBytes(1);
    scene.offer('a', bytes);
    put(scene.at('checkpoints/a.safetensors'), bytes);
    const first = await scene.run({ ENABLE_A: 'true' });
    expect(first.log).toContain('checked: checkpoints/a.safetensors');
    const second = await scene.run({ ENABLE_A: 'true' });
    expect(second.log).not.toContain('checked');
    expect([first.code, second.code]).toEqual([0, 0]);
    expect(scene.host.seen).toEqual([]);
  });

  test.each([
    ['damaged', (bytes: Buffer) => Buffer.from(bytes.map((byte) => byte ^ 1))],
    ['too short', (bytes: Buffer) => bytes.subarray(1)],
  ])('a file that is there but %s is replaced', async (_, spoil) => {
    const scene = await makeScene();
    const bytes = makeBytes(1);
    scene.offer('a', bytes);
    put(scene.at('checkpoints/a.safetensors'), spoil(bytes));
    const { code, log } = await scene.run({ ENABLE_A: 'true' });
    expect(code, log).toBe(0);
    expect(hashOfFile(scene.at('checkpoints/a.safetensors'))).toBe(hashOf(bytes));
  });

  test('a checked file that changed since is checked again', async () => {
    const scene = await makeScene();
    const bytes = makeBytes(1);
    scene.offer('a', bytes);
    await scene.run({ ENABLE_A: 'true' });
    const path = scene.at('checkpoints/a.safetensors');
    put(path, Buffer.from(bytes.map((byte) => byte ^ 1)));
    utimesSync(path, 1, 1);
    const { code, log } = await scene.run({ ENABLE_A: 'true' });
    expect(code, log).toBe(0);
    expect(hashOfFile(path)).toBe(hashOf(bytes));
  });

  test('a file that two toggles name is fetched once', async () => {
    const scene = await makeScene();
    scene.offer('a', makeBytes(1));
    scene.edit((list) => list.toggles.push({ ...list.toggles[0]!, name: 'ENABLE_AGAIN' }));
    const { code, log } = await scene.run({ ENABLE_A: 'true', ENABLE_AGAIN: '1' });
    expect(code, log).toBe(0);
    expect(log).toContain('1 of 1 file are there');
  });

  test('a file of the shared models directory counts, and is not written to', async () => {
    const scene = await makeScene();
    const bytes = makeBytes(1);
    scene.offer('a', bytes);
    const shared = join(scene.models, '../shared');
    put(join(shared, 'checkpoints/a.safetensors'), bytes);
    const { code, log } = await scene.run({ ENABLE_A: 'true' });
    expect(code, log).toBe(0);
    expect(filesBelow(scene.models)).toEqual([]);
    expect(filesBelow(shared)).toEqual(['checkpoints/a.safetensors']);
  });

  test('nothing is asked for: nothing is fetched, nothing is written, and it says where to look', async () => {
    const scene = await makeScene();
    const { code, log } = await scene.run();
    expect(code).toBe(0);
    expect(log).toContain('docs/models.md');
    expect(filesBelow(scene.models)).toEqual([]);
  });

  test('an unpinned file is checked against what its host says, and called unpinned', async () => {
    const scene = await makeScene();
    const bytes = makeBytes(1);
    scene.offer('a', bytes, {}, { size: null, sha256: null });
    const { code, log } = await scene.run({ ENABLE_A: 'true' });
    expect(code, log).toBe(0);
    expect(log).toContain(`unpinned: its SHA-256 is ${hashOf(bytes)}`);
    scene.host.seen.length = 0;
    expect((await scene.run({ ENABLE_A: 'true' })).code).toBe(0);
    expect(scene.host.seen).toEqual([]);
  });

  test('unpinned bytes that are not what their host announced are refused', async () => {
    const scene = await makeScene();
    scene.offer('a', makeBytes(1), { wrongBytes: {} }, { size: null, sha256: null });
    const { code, log } = await scene.run({ ENABLE_A: 'true' });
    expect(code).toBe(3);
    expect(log).toContain("aren't the file's");
    expect(filesBelow(scene.models).filter((path) => path.startsWith('checkpoints'))).toEqual([]);
  });

  test('a small file that the hub sends itself is checked by the hash that git has for it', async () => {
    const scene = await makeScene();
    const bytes = Buffer.from('{"model_type": "test"}\n');
    const hosted = scene.offer('config', bytes, { small: true }, { size: null, sha256: null, to: 'x/config.json' });
    expect((await scene.run({ ENABLE_CONFIG: 'true' })).code).toBe(0);
    expect(readFileSync(scene.at('x/config.json'))).toEqual(bytes);
    rmSync(scene.at('x/config.json'));
    hosted.wrongBytes = {};
    const { code, log } = await scene.run({ ENABLE_CONFIG: 'true' });
    expect(code, log).toBe(3);
  });

  test('a whole repository is fetched by the list that Hugging Face gives, page by page, and kept as it was', async () => {
    const scene = await makeScene();
    const files = ['config.json', 'model-00001.safetensors', 'model-00002.safetensors', 'a b/é.bin', '.gitattributes'];
    for (const file of files)
      scene.host.files.set(`owner/whole/${file}`, { bytes: makeBytes(1), small: file === 'config.json' });
    scene.edit((list) => {
      list.repos.whole = { repo: 'owner/whole', revision: 'main' };
      list.snapshots.whole = { repo: 'whole', to: 'voice/whole', files: null };
      list.toggles.push({ name: 'ENABLE_WHOLE', title: 'whole', group: 'sound', nodes: [], fetches: ['whole'] });
    });
    const { code, log } = await scene.run({ ENABLE_WHOLE: 'true' });
    expect(code, log).toBe(0);
    for (const file of files.slice(0, 4))
      expect(hashOfFile(scene.at(`voice/whole/${file}`))).toBe(
        hashOf(scene.host.files.get(`owner/whole/${file}`)!.bytes),
      );
    expect(filesBelow(scene.at('voice/whole')).length).toBe(4);
    scene.host.seen.length = 0;
    expect((await scene.run({ ENABLE_WHOLE: 'true' })).code).toBe(0);
    expect(scene.host.seen).toEqual([]);
  });

  test('LoRAs of CivitAI are fetched by the numbers of their versions, under the names they have there', async () => {
    const scene = await makeScene();
    const [first, second] = [makeBytes(1), makeBytes(2)];
    scene.host.versions.set('101', { name: 'Some Style v1.safetensors', bytes: first, token: 'civitai-key' });
    scene.host.versions.set('102', { name: 'other.safetensors', bytes: second });
    scene.edit((list) =>
      list.toggles.push({
        name: 'ENABLE_CIVITAI',
        title: 'LoRAs',
        group: 'image',
        nodes: [],
        fetches: [],
        ids: { name: 'CIVITAI_LORAS', to: 'loras' },
      }),
    );
    const settings = { ENABLE_CIVITAI: 'true', CIVITAI_LORAS: ' 101, 102', CIVITAI_API_KEY: 'civitai-key' };
    const { code, log } = await scene.run(settings);
    expect(code, log).toBe(0);
    expect(hashOfFile(scene.at('loras/Some Style v1.safetensors'))).toBe(hashOf(first));
    expect(hashOfFile(scene.at('loras/other.safetensors'))).toBe(hashOf(second));
    scene.host.seen.length = 0;
    expect((await scene.run(settings)).code).toBe(0);
    expect(scene.host.seen).toEqual([]);
  });

  test('DRY_RUN says what would be fetched, how big, from where and whereto, and writes nothing', async () => {
    const scene = await makeScene();
    scene.offer('a', makeBytes(3));
    scene.offer('b', makeBytes(2), {}, { size: null, sha256: null });
    const { code, log } = await scene.run({ ENABLE_A: 'true', ENABLE_B: 'true', DRY_RUN: 'TRUE' });
    expect(code).toBe(0);
    expect(log).toMatch(/would fetch: +3 MB {2}checkpoints\/a\.safetensors {2}from owner\/repo\n/);
    expect(log).toMatch(/would fetch: +2 MB {2}checkpoints\/b\.safetensors {2}from owner\/repo \(unpinned\)\n/);
    expect(log).toContain(`2 files of 5 MB would be fetched into ${scene.models}`);
    expect(filesBelow(scene.models)).toEqual([]);
    expect(scene.host.sentBytes()).toBe(0);
  });

  test('progress is a line now and then, without control characters, with bytes, speed and time left', async () => {
    const scene = await makeScene();
    scene.offer('a', makeBytes(24), { slow: 1.5e6 });
    const { code, log } = await scene.run({ ENABLE_A: 'true' });
    expect(code, log).toBe(0);
    expect(log).toMatch(/^\[models\] 0 of 1 file, \d+ (k|M)B of 25 MB \(\d+ %\), \d+ (k|M)B\/s, about \d+ s left$/m);
    expect(log).not.toMatch(/[^\P{C}\n]/u);
    expect(log.split('\n').every((line) => line === '' || line.startsWith('[models] '))).toBe(true);
  });

  test('an experimental toggle says so when it is used', async () => {
    const scene = await makeScene();
    scene.offer('a', makeBytes(1));
    scene.edit((list) => Object.assign(list.toggles[0]!, { experimental: true }));
    const { code, log } = await scene.run({ ENABLE_A: 'true' });
    expect(code).toBe(0);
    expect(log).toContain('ENABLE_A is experimental: the image has no node');
  });

  test('a value that is unknown skips its toggle alone, and the summary names it', async () => {
    const scene = await makeScene();
    scene.offer('a', makeBytes(1));
    scene.offer('b', makeBytes(1));
    const { code, log } = await scene.run({ ENABLE_A: 'maybe', ENABLE_B: 'yes' });
    expect(code).toBe(3);
    expect(log).toContain('skipped: ENABLE_A: ENABLE_A=maybe must be true or false');
    expect(filesBelow(scene.at('checkpoints'))).toEqual(['b.safetensors']);
  });

  test.each([
    ['no JSON', (text: string) => text.slice(1)],
    ['another format', (text: string) => text.replace('"format": 1', '"format": 2')],
    ['a path out of the directory', (text: string) => text.replace('checkpoints/a', '../../a')],
    ['a path from the root', (text: string) => text.replace('checkpoints/a', '/etc/a')],
    [
      'a toggle that names what is not there',
      (text: string) => text.replace('"fetches": [\n        "a"', '"fetches": [\n "z"'),
    ],
  ])('a list with %s fetches nothing and ends with 2', async (_, spoil) => {
    const scene = await makeScene();
    scene.offer('a', makeBytes(1));
    const text = readFileSync(scene.manifest, 'utf8');
    expect(spoil(text)).not.toBe(text);
    put(scene.manifest, spoil(text));
    const { code, log } = await scene.run({ ENABLE_A: 'true' });
    expect(code).toBe(2);
    expect(log).toContain("isn't in order");
    expect(filesBelow(scene.models)).toEqual([]);
  });

  test('--lock fills in sizes, hashes, revisions and lists of files, and leaves alone what is there', async () => {
    const scene = await makeScene();
    const [bytes, small, known, voice] = [makeBytes(1), Buffer.from('{}\n'), makeBytes(1), makeBytes(2)];
    scene.offer('a', bytes, {}, { size: null, sha256: null });
    scene.offer('config', small, { small: true }, { size: null, sha256: null });
    scene.offer('known', known);
    scene.offer('lora', voice, {}, { version: 7, size: null, sha256: null });
    scene.host.files.set('owner/whole/model.bin', { bytes: voice });
    scene.host.files.set('owner/whole/config.json', { bytes: small, small: true });
    scene.edit((list) => {
      list.repos.repo!.revision = 'main';
      list.repos.whole = { repo: 'owner/whole', revision: 'main' };
      list.snapshots.whole = { repo: 'whole', to: 'voice', about: 5, files: null };
    });
    const { code, log } = await scene.run({}, '--lock');
    expect(code, log).toBe(0);
    const list = JSON.parse(readFileSync(scene.manifest, 'utf8'));
    expect(list.repos.repo.revision).toBe(commit);
    expect(list.repos.whole.revision).toBe(commit);
    const facts = ({ size, sha256 }: { size: number; sha256: string }) => ({ size, sha256 });
    const of = (content: Buffer) => ({ size: content.length, sha256: hashOf(content) });
    expect(facts(list.files.a)).toEqual(of(bytes));
    expect(facts(list.files.config)).toEqual(of(small));
    expect(facts(list.files.known)).toEqual(of(known));
    expect(facts(list.civitai.lora)).toEqual(of(voice));
    expect(list.snapshots.whole.files).toEqual([
      { file: 'model.bin', ...of(voice) },
      { file: 'config.json', ...of(small) },
    ]);
    const fetched = await scene.run({ ENABLE_A: 'true', ENABLE_CONFIG: 'true' });
    expect(fetched.code, fetched.log).toBe(0);
    expect(fetched.log).not.toContain('unpinned');
    const again = await scene.run({}, '--lock');
    expect(again.log).toContain('holds all that its hosts can tell');
  });

  test('--lock changes nothing where the list and the host disagree, and says so', async () => {
    const scene = await makeScene();
    scene.offer('a', makeBytes(1), {}, { size: 5, sha256: null });
    const before = readFileSync(scene.manifest, 'utf8');
    const { code, log } = await scene.run({}, '--lock');
    expect(code).toBe(3);
    expect(log).toContain('the list says 5 bytes');
    expect(JSON.parse(readFileSync(scene.manifest, 'utf8'))).toEqual(JSON.parse(before));
  });

  test('wrong usage and a models directory that cannot be are told, with exit code 2', async () => {
    const scene = await makeScene();
    expect((await scene.run({}, '--nonsense')).code).toBe(2);
    const { code, log } = await scene.run({ MODELS_DIR: 'models' });
    expect(code).toBe(2);
    expect(log).toContain("isn't a full path");
  });

  test('an unreadable record of what was checked costs one more check, nothing else', async () => {
    const scene = await makeScene();
    scene.offer('a', makeBytes(1));
    await scene.run({ ENABLE_A: 'true' });
    const records = scene.at('.downloads/verified');
    for (const name of readdirSync(records)) put(join(records, name), 'x y');
    const { code, log } = await scene.run({ ENABLE_A: 'true' });
    expect(code, log).toBe(0);
    expect(log).toContain('checked: checkpoints/a.safetensors');
    expect(statSync(scene.at('checkpoints/a.safetensors')).size).toBe(2 ** 20);
  });
});
