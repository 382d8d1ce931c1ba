// Many files at once: what a batch run leaves behind in a moment. The files are written beforehand beside the watched
// directory and moved into it: written in place, they come no faster than the disk takes them, and a row of contenders
// that all wait for the same disk says nothing about them.
import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { pause } from '../support/clock.ts';
import type { Row } from '../support/row.ts';
import { makeSample, moveSample, type StagedSample, writeSample } from '../support/samples.ts';
import { awaitStored, measureCost, warmUp, withSession } from '../support/session.ts';
import { countStoredTwice } from '../support/store.ts';

const filesOf = (quick: boolean) => (quick ? 150 : 500);
/** What comes after the last file (a ledger's fsync, a closing connection) counts, too. */
const AFTERMATH_MS = 1000;

export const burst: Row = {
  id: 'burst',
  title: ({ quick }) => `${filesOf(quick)} PNGs of 2 MB at once`,
  metrics: {
    rate: { label: 'files per second', unit: '/s', digits: 1, rounds: 'median' },
    cpu: { label: 'CPU per file', unit: 'ms', digits: 2, rounds: 'median' },
    peak: { label: 'peak memory', unit: 'MiB', digits: 0, rounds: 'worst' },
    requests: { label: 'requests per file', unit: '', digits: 2, rounds: 'median' },
    twice: { label: 'sent again', unit: 'files', digits: 0, rounds: 'worst' },
    lost: { label: 'lost', unit: 'files', digits: 0, rounds: 'worst' },
  },
  goals: [
    { contender: 'agent', metric: 'rate', text: "1.2 times boto3's files per second", atLeast: 1.2, against: 'boto3' },
    { contender: 'agent', metric: 'cpu', text: "CPU per file 0.8 times boto3's", atMost: 0.8, against: 'boto3' },
    { contender: 'agent', metric: 'peak', text: 'peak memory under 120 MB', atMost: 120e6 / 2 ** 20 },
    { contender: 'agent-plain', metric: 'peak', text: 'peak memory under 120 MB', atMost: 120e6 / 2 ** 20 },
    { contender: 'agent', metric: 'requests', text: 'one request per file', atMost: 1 },
    { contender: 'agent-plain', metric: 'requests', text: 'one request per file', atMost: 1 },
    { contender: 'agent', metric: 'lost', text: 'none lost', atMost: 0 },
    { contender: 'agent-plain', metric: 'lost', text: 'none lost', atMost: 0 },
  ],
  contenders: ['boto3', 'agent', 'agent-plain', 'rclone'],
  baseline: 'boto3',
  rounds: ({ quick }, contender) => (quick || contender === 'rclone' ? 1 : 3),
  run: (contender, { directory, quick }) =>
    withSession(directory, async (session) => {
      const { child } = await session.start(contender, 0);
      const first = await warmUp(session);
      const staged = stage(session.stage.scratch, filesOf(quick));
      const before = (await session.store.requests()).length;
      const cost = measureCost(child.pid);
      const written = staged.map((file, index) => moveSample(file, join(session.dir, `picture-${index}.png`)));
      const arrived = await awaitStored(session.store, written);
      await pause(AFTERMATH_MS);
      const { cpuMs, peakMib } = cost.stop();
      const requests = await session.store.requests();
      const seconds = (Math.max(...arrived.values()) - written[0]!.closedAt) / 1000;
      return {
        rate: arrived.size / seconds,
        cpu: cpuMs / written.length,
        peak: peakMib,
        requests: (requests.length - before) / written.length,
        twice: countStoredTwice(requests, first.length + arrived.size),
        lost: written.length - arrived.size,
      };
    }),
};

/** Writes the files where nobody watches, and through to the disk, so that this isn't going on behind the row's back. */
function stage(directory: string, count: number): StagedSample[] {
  const staging = join(directory, 'staging');
  mkdirSync(staging);
  const staged = Array.from({ length: count }, (_, index) => {
    const path = join(staging, `${index}.png`);
    return { path, ...writeSample(path, makeSample(100 + index)) };
  });
  execFileSync('sync', ['-f', staging]);
  return staged;
}
