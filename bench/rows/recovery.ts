// The agent is killed in the middle of a burst and started again at once: how soon it is at work again, and what it
// sends a second time.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { now, pause, poll } from '../support/clock.ts';
import type { Row } from '../support/row.ts';
import { makeSample, moveSample, writeSample } from '../support/samples.ts';
import { awaitStored, withSession } from '../support/session.ts';
import { countStoredTwice, type StoreRequest } from '../support/store.ts';

const FILES = 200;
/** So far, a killer strikes. */
const STORED_BEFORE = 40;
const LIMIT_MS = 60_000;
const isStored = ({ operation, status }: StoreRequest) => operation === 'PutObject' && status === 200;

export const recovery: Row = {
  id: 'recovery',
  title: () => `kill -9 in the middle of ${FILES} PNGs of 2 MB, started again at once`,
  metrics: {
    first: { label: 'kill to first upload, the longest of the rounds', unit: 's', digits: 2, rounds: 'worst' },
    lost: { label: 'lost', unit: 'files', digits: 0, rounds: 'worst' },
    twice: { label: 'sent again', unit: 'files', digits: 0, rounds: 'worst' },
  },
  goals: [
    { contender: 'agent', metric: 'first', text: 'first upload under 2 s after the kill', atMost: 2 },
    { contender: 'agent', metric: 'lost', text: 'none lost', atMost: 0 },
    { contender: 'agent', metric: 'twice', text: 'at most what was in flight (4)', atMost: 4 },
  ],
  contenders: ['agent'],
  baseline: 'agent',
  rounds: ({ quick }) => (quick ? 1 : 3),
  run: (contender, { quick: _, ...place }) =>
    withSession({ ...place, latencyMs: 20 }, async (session) => {
      const staging = join(session.stage.scratch, 'staging');
      mkdirSync(staging);
      const staged = Array.from({ length: FILES }, (_, index) => {
        const path = join(staging, `picture-${index}.png`);
        return { path, ...writeSample(path, makeSample(100 + index)) };
      });
      // Not by session.start: this one is meant to die.
      const victim = await contender.start(session.stage, 0);
      try {
        await victim.ready();
        const written = staged.map((file) => moveSample(file, join(session.dir, `${file.stem}.png`)));
        const midway = async () =>
          (await session.store.requests()).filter(isStored).length >= STORED_BEFORE || undefined;
        if (!(await poll(midway, 20, LIMIT_MS))) throw new Error(`${victim.child.complaints()}: it never came midway`);
        const killedAt = now();
        process.kill(victim.child.pid, 'SIGKILL');
        await victim.child.exit;
        const before = (await session.store.requests()).length;
        // What the dead one had on its way may still be stored.
        const heirAt = now();
        const heir = await contender.start(session.stage, 0);
        try {
          const firstAt = await poll(
            async () => {
              const sent = await session.store.requests(before);
              return sent.some((one) => isStored(one) && (one.startedAt ?? 0) > heirAt) ? now() : undefined;
            },
            5,
            LIMIT_MS,
          );
          const arrived = await awaitStored(session.store, written);
          await pause(1000);
          const first = ((firstAt ?? Number.POSITIVE_INFINITY) - killedAt) / 1000;
          const twice = countStoredTwice(await session.store.requests(), arrived.size);
          return { first, lost: written.length - arrived.size, twice };
        } finally {
          await heir.child.stop();
        }
      } finally {
        await victim.child.stop();
      }
    }),
};
