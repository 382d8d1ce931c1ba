// What goes on while an agent is stopped: between them the scenarios make every kind of effect that it has.

import * as fs from 'node:fs/promises';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { encodeLine } from '../../../src/ledger/line.ts';
import { locateState } from '../../../src/ledger/location.ts';
import { makePng, makeWav } from '../../support/media.ts';
import { putStored } from '../../support/stored.ts';
import type { Life } from './life.ts';

export interface Scenario {
  name: string;
  /** Before the first agent starts. */
  prepare(life: Life): Promise<void>;
  /** Ends when the last agent has ended; gives its exit code. */
  play(life: Life): Promise<number | string>;
}

/** More than one part has. */
const LARGE_BYTES = 9 * 1024 * 1024;
/** More than the ledger keeps before it compacts. */
const SEGMENTS = 17;
const LONG_AGO = Date.parse('2026-01-02T03:04:05Z');

export const SCENARIOS: readonly Scenario[] = [
  {
    name: 'an empty volume',
    prepare: async () => {},
    play: async (life) => {
      const first = await life.write('alice/first.png', makePng({ seed: 1 }));
      const top = await life.write('top.png', makePng({ seed: 2 }));
      await life.acknowledged(first, top);
      await life.acknowledged(await life.write('alice/long.wav', makeWav({ bytes: LARGE_BYTES, seed: 3 })));
      // Its reply is lost: it is sent again, and found to be there.
      life.faults.set('PutObject outputs/alice/day/there', 'commit-and-drop-reply');
      await life.acknowledged(await life.write('alice/there.png', makePng({ seed: 5 })));
      await life.write('alice/last.png', makePng({ seed: 6 }));
      return life.drain();
    },
  },
  {
    name: 'a volume with many segments',
    prepare: async (life) => {
      const { output } = life.place;
      const endpointHost = new URL(life.store.endpoint).host;
      const { targetDir } = await locateState(fs, { outputDir: output, endpointHost, bucket: 'runpod' });
      await mkdir(join(targetDir, 'bob'), { recursive: true });
      for (let epoch = 1; epoch <= SEGMENTS; epoch++) {
        const body = makePng({ seed: 100 + epoch });
        const { path, sha256 } = await life.write(`bob/old${epoch}.png`, body, LONG_AGO);
        const mtimeNs = BigInt(LONG_AGO) * 1_000_000n;
        const key = putStored(life.store, { path, body, mtimeNs });
        const line = { path, size: body.length, mtimeNs, sha256, key, storedAt: LONG_AGO, incomplete: false };
        await writeFile(join(targetDir, `bob/ledger.${epoch}.jsonl`), encodeLine(line));
      }
    },
    play: async (life) => {
      await life.acknowledged(await life.write('bob/new.png', makePng({ seed: 7 })));
      // Stored long ago: a file that was stored within a minute would wait.
      await life.acknowledged(await life.write('bob/old1.png', makePng({ seed: 8, width: 24 })));
      await life.compacted();
      return life.drain();
    },
  },
];
