// Before there is a session: what the page and the log say of a volume that hangs while it is opened.
import { expect, test } from 'vitest';
import { Agent, type AgentOptions } from '../../src/agent.ts';
import { loadConfig } from '../../src/config/parse.ts';
import type { VolumeFs, VolumeGate } from '../../src/volume/gate.ts';
import { listLog } from '../status/sample.ts';
import { createFakeClock } from '../support/fake-clock.ts';

test('invariant 10: a volume that hangs as it is opened is said to hang, on the page and in the log', async () => {
  const clock = createFakeClock();
  const { log, lines } = listLog();
  let back = () => {};
  const answer = new Promise<never>((_, reject) => {
    back = () => reject(Object.assign(new Error('gone'), { code: 'ENOENT' }));
  });
  const fs = { stat: () => answer } as unknown as VolumeFs;
  let silent = true;
  const silentMs = () => (silent ? clock.monotonic() : 0);
  const volumeGate = { fs, share: () => fs, silentMs, overdueMs: silentMs } as unknown as VolumeGate;
  const settings = {
    R2_ENDPOINT: 'https://acct.r2.example',
    R2_BUCKET: 'runpod',
    R2_ACCESS_KEY_ID: 'an-access-key-id',
    R2_SECRET_ACCESS_KEY: 'a-secret-access-key',
    COMFYUI_OUTPUT_DIR: '/workspace/output',
  };
  const { config } = loadConfig(settings, { needStore: true });
  const agent = new Agent({
    config: config!,
    problems: [],
    log,
    clock,
    volumeGate,
    onUpload: () => {},
    onReady: () => {},
    onRequest: () => {},
    reasons: () => [],
    hints: false,
  } satisfies AgentOptions);
  agent.start();
  await clock.advance(29_000);
  expect(agent.snapshot()).toMatchObject({ state: 'ok', safeToStop: false });
  await clock.advance(12_000);
  const { state, reasons } = agent.snapshot();
  expect(state).toBe('degraded');
  expect(reasons).toEqual(["The volume hasn't answered for 41 s. Uploads go on as soon as it does."]);
  expect(agent.condition().state).toBe('degraded');
  expect(lines.filter((line) => line.includes("doesn't answer"))).toHaveLength(1);
  silent = false;
  back();
  await clock.advance(5000);
  expect(lines.filter((line) => line.includes('answers again'))).toHaveLength(1);
  await agent.close();
});
