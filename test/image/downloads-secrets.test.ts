// Tokens are shown to their own host alone: in no argument, no address, no log and nowhere on the volume.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  downloadsMissing,
  filesBelow,
  hashOf,
  hashOfFile,
  makeBytes,
  makeScene,
  put,
  type Run,
  type Scene,
} from '../support/downloads.ts';

const hugging = 'hf_SECRETsecretSECRET';
const civitai = 'CIVITAIsecretCIVITAI';
const secrets = [hugging, civitai, 'X-Amz-Signature', 'Bearer'];

/** Arguments of all processes, and the environments of those that the run has started, until it ends. */
async function watch(run: Run): Promise<{ commands: Set<string>; environments: string }> {
  const commands = new Set<string>();
  let environments = '';
  let over = false;
  void run.ended.then(() => {
    over = true;
  });
  while (!over) {
    for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
      try {
        const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
        commands.add(command);
        if (/aria2c|curl/.test(command)) environments += readFileSync(`/proc/${pid}/environ`, 'utf8');
      } catch {
        // It has ended.
      }
    }
    await new Promise((resolve) => setImmediate(resolve));
  }
  return { commands, environments };
}

function expectClean(scene: Scene, log: string) {
  for (const secret of secrets) {
    expect(log).not.toContain(secret);
    for (const path of filesBelow(join(scene.models, '..')))
      expect(readFileSync(join(scene.models, '..', path)).includes(secret), `${secret} in ${path}`).toBe(false);
    for (const { path } of scene.host.seen) if (secret !== 'X-Amz-Signature') expect(path).not.toContain(secret);
  }
}

describe.skipIf(downloadsMissing())('secrets', () => {
  test('tokens are seen by their own host alone, and neither they nor signed addresses are in ps or on the volume', async () => {
    const scene = await makeScene();
    const [a, b] = [makeBytes(12), makeBytes(12)];
    scene.offer('a', a, { token: hugging, slow: 3e6 });
    scene.offer('b', b, { token: civitai, slow: 3e6 }, { version: 9 });
    const run = scene.start({
      ENABLE_A: 'true',
      ENABLE_B: 'true',
      HF_TOKEN: ` "${hugging}" `,
      CIVITAI_API_KEY: civitai,
    });
    const { commands, environments } = await watch(run);
    const { code, log } = await run.ended;
    expect(code, log).toBe(0);
    expect([...commands].some((command) => command.startsWith('aria2c '))).toBe(true);
    for (const secret of secrets) {
      expect([...commands].filter((command) => command.includes(secret))).toEqual([]);
      expect(environments.includes(secret)).toBe(false);
    }
    expectClean(scene, log);
    const shown = (host: 'hub' | 'storage', of: string) =>
      new Set(
        scene.host.seen
          .filter((seen) => seen.host === host && seen.path.includes(of))
          .map((seen) => seen.authorization),
      );
    expect(shown('hub', 'owner/repo')).toEqual(new Set([`Bearer ${hugging}`]));
    expect(shown('hub', 'download/models/9')).toEqual(new Set([`Bearer ${civitai}`]));
    expect(shown('storage', '')).toEqual(new Set([undefined]));
  });

  test('a file that the hub itself sends, for the token alone, is fetched without telling anybody else', async () => {
    const scene = await makeScene();
    const bytes = makeBytes(1);
    scene.offer('a', bytes, { token: hugging, small: true });
    const run = scene.start({ ENABLE_A: 'true', HF_TOKEN: hugging });
    const { commands } = await watch(run);
    const { code, log } = await run.ended;
    expect(code, log).toBe(0);
    expect([...commands].filter((command) => command.includes(hugging))).toEqual([]);
    expect(hashOfFile(scene.at('checkpoints/a.safetensors'))).toBe(hashOf(bytes));
    expectClean(scene, log);
  });

  test('a failure says nothing secret either', async () => {
    const scene = await makeScene();
    scene.offer('a', makeBytes(1), { storageStatus: { status: 500 } });
    scene.offer('b', makeBytes(12), { cutAfter: { bytes: 1000 } });
    const { code, log } = await scene.run({ ENABLE_A: 'true', ENABLE_B: 'true', HF_TOKEN: hugging });
    expect(code).toBe(3);
    expectClean(scene, log);
  });

  test('a token in a file is read from there', async () => {
    const scene = await makeScene();
    scene.offer('a', makeBytes(1), { token: hugging });
    const file = join(scene.models, '..', 'token');
    put(file, `${hugging}\n`);
    const { code, log } = await scene.run({ ENABLE_A: 'true', HF_TOKEN_FILE: file });
    expect(code, log).toBe(0);
    expect(log).not.toContain(hugging);
  });

  test('a secret that RunPod did not replace counts as unset and is told', async () => {
    const scene = await makeScene();
    scene.offer('a', makeBytes(1), { token: hugging });
    const { code, log } = await scene.run({ ENABLE_A: 'true', HF_TOKEN: '{{ RUNPOD_SECRET_HF_TOKEN }}' });
    expect(code).toBe(3);
    expect(log).toContain("HF_TOKEN is {{ RUNPOD_SECRET_HF_TOKEN }}, which RunPod didn't replace");
    expect(scene.host.seen.every(({ authorization }) => authorization === undefined)).toBe(true);
  });
});
