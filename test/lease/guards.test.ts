// Each guard of the lease is left out in turn; the explorer must see what that breaks. What the configurations find in
// the module as it is, explorer.test.ts says: nothing.
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type ConfigurationName, configurations } from './explorer/configurations.ts';
import { Model } from './explorer/model.ts';
import { explore } from './explorer/search.ts';
import type { Reducer } from './explorer/world.ts';

const module = new URL('../../src/lease/reducer.ts', import.meta.url);
let dir: string;
let source: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'r2-sync-guards-'));
  source = await readFile(module, 'utf8');
});
afterAll(() => rm(dir, { recursive: true }));

interface Guard {
  guard: string;
  /** What stands in the source, once, and what stands there without the guard. */
  without: [string, string][];
  seen: string;
  where: ConfigurationName;
}

const OVERLAP = 'two agents upload';
const EARLY = 'taken before it was silent for long enough';
const LEAPFROG = 'an epoch is gained that is lower than one before it';
const WAITS = 'one holds, one waits';
const BOTH = 'two agents, paused at any point';

const guards: Guard[] = [
  {
    guard: 'the link count',
    without: [["if (links === 2 || links === 'exclusive') return", 'return']],
    seen: OVERLAP,
    where: 'an operation of a forgotten keeper is done late',
  },
  {
    guard: 'the listing after the link',
    without: [['!(claim?.ours && claim.epoch === mode.epoch)', 'false']],
    seen: 'two winners of an epoch',
    where: 'one was paused while the other took the folder again and again',
  },
  {
    guard: 'whose claim the listing shows, and the link count',
    without: [
      ["if (links === 2 || links === 'exclusive') return", 'return'],
      ['claim?.ours && claim.epoch === mode.epoch', 'claim?.epoch === mode.epoch'],
    ],
    seen: 'two winners of an epoch',
    where: BOTH,
  },
  {
    guard: 'the highest claim, which each beat looks for',
    without: [['if (highest !== epoch)', 'if (false)']],
    seen: 'holds on although its beat saw a higher claim',
    where: 'two pods of one id',
  },
  {
    guard: "the observer's monotonic clock",
    without: [
      ['begun.mono - before.seen', 'begun.wall - before.seen'],
      ['before.since : now.mono', 'before.since : now.wall'],
      ['begun.mono - since', 'begun.wall - since'],
      ['seen: now.mono', 'seen: now.wall'],
    ],
    seen: EARLY,
    where: 'a wall clock steps',
  },
  {
    guard: 'no gap between polls',
    without: [[' && begun.mono - before.seen <= timing.gap', '']],
    seen: EARLY,
    where: WAITS,
  },
  {
    guard: 'the same holder in both looks',
    without: [['before?.epoch === epoch && ', 'before && ']],
    seen: EARLY,
    where: WAITS,
  },
  {
    guard: 'the same beat in both looks',
    without: [[' && before.beat === beat', '']],
    seen: 'the agents fight',
    where: WAITS,
  },
  {
    guard: 'silence ends where the last look begins',
    without: [['begun.mono - since >= patience', 'now.mono - since >= patience']],
    seen: EARLY,
    where: WAITS,
  },
  {
    guard: 'silence begins where the first look ends',
    without: [['before.since : now.mono', 'before.since : begun.mono']],
    seen: EARLY,
    where: WAITS,
  },
  {
    guard: 'the whole time of a lease where the pod is another one',
    without: [['claim.samePod ? 2 * timing.beat : timing.dead', '2 * timing.beat']],
    seen: EARLY,
    where: WAITS,
  },
  {
    guard: 'self-stop by the monotonic clock',
    without: [['now.mono - alive.mono <= stop && ', '']],
    seen: 'uploads again under an epoch that was lost',
    where: 'a wall clock steps',
  },
  {
    guard: 'self-stop by the wall clock',
    without: [[' && now.wall - alive.wall <= stop', '']],
    seen: OVERLAP,
    where: 'a machine is suspended',
  },
  {
    guard: 'self-stop before every request',
    without: [["return mode.is === 'holding' && isFresh(mode.alive, now, timing)", "return mode.is === 'holding'"]],
    seen: OVERLAP,
    where: WAITS,
  },
  {
    guard: 'self-stop when the time has come',
    without: [
      [
        'if (!isFresh(mode.alive, now, timing)) return lose(state, mode.epoch',
        'if (false) return lose(state, mode.epoch',
      ],
    ],
    seen: 'wakes again and again',
    where: WAITS,
  },
  {
    guard: 'never resuming an epoch: a beat that comes too late',
    without: [
      ['if (!isFresh(mode.alive, now, timing)) return lose(state, epoch', 'if (false) return lose(state, epoch'],
    ],
    seen: 'uploads again under an epoch that was lost',
    where: WAITS,
  },
  {
    guard: 'never resuming an epoch: a claim of ours that we find',
    without: [
      [
        'if (claim === undefined)',
        `if (claim?.ours) {
          const found = { epoch: claim.epoch, begun: now, how: 'free', from: undefined, failures: 0, unwon: 0, without: false };
          return win(state, { is: 'claiming', ...found } as never, now, timing);
        }
        if (claim === undefined)`,
      ],
    ],
    seen: 'two winners of an epoch',
    where: WAITS,
  },
  {
    guard: 'the next number',
    without: [['const epoch = top + 1;', 'const epoch = Math.max(top, 1);']],
    seen: 'a dead holder is not replaced',
    where: BOTH,
  },
  {
    guard: 'no claim is removed that counts',
    without: [['below: epoch - 1', 'below: epoch + 1']],
    seen: 'the highest claim is removed',
    where: BOTH,
  },
  {
    guard: 'a claim holds from its begin',
    without: [['counter: 0, alive: begun,', 'counter: 0, alive: now,']],
    seen: OVERLAP,
    where: BOTH,
  },
  {
    guard: 'a claim that took too long is not won',
    without: [['if (!isFresh(begun, now, timing))', 'if (false)']],
    seen: LEAPFROG,
    where: BOTH,
  },
  {
    guard: 'a beat holds from its begin',
    without: [['mode: { ...mode, alive: begun,', 'mode: { ...mode, alive: now,']],
    seen: OVERLAP,
    where: WAITS,
  },
  {
    guard: 'one operation at a time',
    without: [['if (state.running) return { state, effects: [] };', '']],
    seen: 'wakes again and again',
    where: BOTH,
  },
  {
    guard: 'what is on its way ends before the folder is given back',
    without: [['at: now.mono + event.after', 'at: now.mono']],
    seen: OVERLAP,
    where: 'one holds, and gives back',
  },
  {
    guard: 'a released folder is taken at once',
    without: [['if (claim.released)', 'if (false)']],
    seen: 'a folder that was given back is not taken',
    where: 'one holds, and gives back',
  },
  {
    guard: 'a holder that is gone for sure is replaced at once',
    without: [['if (claim.died)', 'if (false)']],
    seen: 'a dead holder is not replaced',
    where: 'who is gone is known to be gone',
  },
];

describe('invariant 5: without any one guard of the lease, the explorer sees what it guards', () => {
  it.each(guards)('$guard', async ({ guard, without, seen, where }) => {
    const mutant = await load(without, `${guards.findIndex((other) => other.guard === guard)}.ts`);
    const configuration = configurations[where];
    expect(explore(new Model(configuration, mutant), configuration.states).fault?.what).toBe(seen);
  });
});

/** The module with other words in these places. */
async function load(edits: [string, string][], name: string): Promise<Reducer> {
  let text = source;
  for (const [from, to] of edits) {
    expect(text.split(from), `stands in the source once: ${from}`).toHaveLength(2);
    text = text.replace(from, () => to);
  }
  const path = join(dir, name);
  await writeFile(
    path,
    text.replaceAll(/ from '(\.[^']+)'/g, (_, to: string) => ` from '${new URL(to, module)}'`),
  );
  return (await import(/* @vite-ignore */ pathToFileURL(path).href)) as Reducer;
}
