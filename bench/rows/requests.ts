// What the store is asked: requests cost money on R2, and the idle ones cost it for nothing.
import { join } from 'node:path';
import { pause } from '../support/clock.ts';
import type { Row } from '../support/row.ts';
import { MIB, makeSample, writeSample } from '../support/samples.ts';
import { awaitStored, warmUp, withSession } from '../support/session.ts';

const SIZES = [10 * 1024, 300 * 1024, MIB, 2 * MIB, 5 * MIB, 8 * MIB];
const FILES_OF_EACH = 4;
/** Longer than anybody's scan or pass. */
const IDLE_SECONDS = 15;

export const requests: Row = {
  id: 'requests',
  title: () => `${SIZES.length * FILES_OF_EACH} PNGs of 10 KiB to 8 MiB, then ${IDLE_SECONDS} s without change`,
  metrics: {
    perFile: { label: 'requests per file', unit: '', digits: 2, rounds: 'median' },
    beyond: { label: 'beyond one per file since the start', unit: '', digits: 0, rounds: 'worst' },
    idle: { label: 'while nothing changes', unit: '', digits: 0, rounds: 'worst' },
  },
  goals: [
    { contender: 'agent', metric: 'perFile', text: 'one request per file', atMost: 1 },
    { contender: 'agent', metric: 'beyond', text: 'but one HEAD after the start', atMost: 1 },
    { contender: 'agent', metric: 'idle', text: 'none while nothing changes', atMost: 0 },
  ],
  contenders: ['boto3', 'agent', 'rclone', 's5cmd'],
  baseline: 'boto3',
  rounds: () => 1,
  run: (contender, place) =>
    withSession(place, async (session) => {
      await session.start(contender);
      const first = await warmUp(session);
      const warm = (await session.store.requests()).length;
      const samples = SIZES.flatMap((size) =>
        Array.from({ length: FILES_OF_EACH }, (_, i) => makeSample(100 + i, size)),
      );
      const written = samples.map((sample, index) => writeSample(join(session.dir, `picture-${index}.png`), sample));
      const arrived = await awaitStored(session.store, written);
      if (arrived.size < written.length) throw new Error(`${written.length - arrived.size} files weren't stored`);
      await pause(1000);
      const busy = (await session.store.requests()).length;
      await pause(IDLE_SECONDS * 1000);
      const end = (await session.store.requests()).length;
      return {
        perFile: (busy - warm) / written.length,
        beyond: busy - first.length - written.length,
        idle: end - busy,
      };
    }),
};
