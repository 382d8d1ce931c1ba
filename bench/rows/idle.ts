// Nothing to do: what an agent with a long history costs the machine on which ComfyUI works.
import { pause } from '../support/clock.ts';
import { readCpuMs, readMemory } from '../support/process-tree.ts';
import type { Row } from '../support/row.ts';
import { withSession } from '../support/session.ts';
import { makeStoredFiles } from '../support/stored-files.ts';

const filesOf = (quick: boolean) => (quick ? 2_000 : 20_000);
const secondsOf = (quick: boolean) => (quick ? 10 : 20);
/** The start isn't what this row is about: for half a minute after it V8 tidies up, which is twenty times what follows. */
const CALM_SECONDS = 35;

export const idle: Row = {
  id: 'idle',
  title: ({ quick }) => `idle for ${secondsOf(quick)} s with ${filesOf(quick)} stored files`,
  metrics: {
    memory: { label: 'memory', unit: 'MiB', digits: 0, rounds: 'worst' },
    cpu: { label: 'CPU of one core', unit: '%', digits: 2, rounds: 'worst' },
    requests: { label: 'requests', unit: '', digits: 0, rounds: 'worst' },
  },
  goals: [
    { contender: 'agent', metric: 'memory', text: 'memory under 90 MB', atMost: 90e6 / 2 ** 20 },
    { contender: 'agent', metric: 'cpu', text: 'CPU under 0.5 % of one core', atMost: 0.5 },
    { contender: 'agent', metric: 'requests', text: 'no request', atMost: 0 },
  ],
  contenders: ['boto3', 'agent'],
  baseline: 'boto3',
  rounds: () => 1,
  run: (contender, { quick, ...place }) =>
    withSession(place, async (session) => {
      await makeStoredFiles(session.stage, filesOf(quick));
      const { child } = await session.start(contender);
      await pause(CALM_SECONDS * 1000);
      const cpuMs = readCpuMs(child.pid);
      const before = (await session.store.requests()).length;
      await pause(secondsOf(quick) * 1000);
      return {
        memory: readMemory(child.pid).rss,
        cpu: ((readCpuMs(child.pid) - cpuMs) / (secondsOf(quick) * 1000)) * 100,
        requests: (await session.store.requests()).length - before,
      };
    }),
};
