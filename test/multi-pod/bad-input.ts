// What lies in the state directory isn't always what an agent wrote.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { encodeBeat } from '../../src/lease/format.ts';
import type { SharedVolume } from '../support/shared-volume.ts';
import { expectAllWell } from './checks.ts';
import { drawMany } from './files.ts';
import { startTeam, type Team } from './team.ts';

const WHOLE = JSON.stringify({ v: 1, epoch: 3, folder: 'x', host: 'h', agent: '0', nonce: 'n', since: 's' });

/** By folder: what lies in its state. `null` is a directory. */
const BAD_STATES: Record<string, Record<string, string | null>> = {
  empty: { 'lease.3.json': '', 'beat.3.json': '' },
  torn: { 'lease.3.json': WHOLE.slice(0, 30), 'beat.3.json': '{"v":1,"ep' },
  'no-json': { 'lease.3.json': '\u0000\u0001 lease \u0000', 'beat.3.json': 'alive' },
  'another-kind-of-json': { 'lease.3.json': '[null]', 'beat.3.json': '7' },
  later: { 'lease.3.json': '{"v":2,"epoch":3}', 'beat.3.json': '{"v":2}' },
  gaps: { 'lease.3.json': WHOLE, 'lease.900.json': WHOLE, 'beat.3.json': encodeBeat(released(3)) },
  'another-epoch': { 'lease.3.json': WHOLE.replace('3', '4'), 'beat.3.json': encodeBeat(released(4)) },
  'too-high': { 'lease.99999999999999.json': WHOLE, 'lease.1099511627776.json': WHOLE, 'lease.-1.json': WHOLE },
  directory: { 'lease.5.json': null, 'beat.5.json': null },
  foreign: {
    'lease.json': WHOLE,
    'lease.x.json': '{}',
    'claim.tmp': '',
    'ledger.7.jsonl': '{"v":1\n\n[]\nx',
    notes: 'mine',
  },
};

/** The last number that counts: nobody can claim the next one. */
const AT_THE_END = { 'lease.1099511627775.json': WHOLE };

export function bearsBadInput(volume: () => SharedVolume): void {
  describe('bad input in the state directory does not stop uploads for good', () => {
    test.concurrent('when it is there before the agents', async (context) => {
      const team = await startTeam(context, volume(), {
        pods: 2,
        prepare: async (others) => {
          for (const [folder, files] of Object.entries({ ...BAD_STATES, 'at-the-end': AT_THE_END })) {
            put(await others.leaseDir(folder), files);
          }
        },
      });
      const folders = [...Object.keys(BAD_STATES), 'at-the-end'];
      await Promise.all(folders.map((folder, index) => drawMany(team, 1 + (index % 2), folder, 3, 20_000)));
      await team.everythingStored();
      expectAllWell(team, { contested: ['at-the-end'] });
    });

    test.concurrent('when it comes while they run', async (context) => {
      const team = await startTeam(context, volume(), { pods: 2 });
      const folders = ['empty', 'later', 'gaps', 'directory', 'foreign'];
      await Promise.all(folders.map((folder, index) => drawMany(team, 1 + (index % 2), folder, 3, 20_000)));
      await team.everythingStored();
      for (const folder of folders) await spoil(team, folder);
      await Promise.all(folders.map((folder, index) => drawMany(team, 2 - (index % 2), folder, 5, 21_000)));
      await team.everythingStored();
      expectAllWell(team);
      expect(team.pods.every(({ alive }) => alive)).toBe(true);
    });
  });
}

/** Bad files above the claim in force, and instead of its beat. */
async function spoil(team: Team, folder: string): Promise<void> {
  const dir = await team.leaseDir(folder);
  const top = Math.max(
    ...team
      .holdings()
      .filter((holding) => holding.folder === folder)
      .map(({ epoch }) => epoch),
  );
  const bad: Record<string, Record<string, string | null>> = {
    empty: { [`lease.${top + 1}.json`]: '', [`beat.${top}.json`]: '' },
    later: { [`lease.${top + 1}.json`]: `{"v":2,"epoch":${top + 1}}`, [`beat.${top + 1}.json`]: '{"v":2}' },
    gaps: { [`lease.${top + 500}.json`]: WHOLE },
    directory: { [`lease.${top + 1}.json`]: null, [`beat.${top + 2}.json`]: null },
    foreign: { 'lease.99999999999999.json': WHOLE, 'ledger.x.jsonl': 'x', [`beat.${top}.json`]: 'x' },
  };
  put(dir, bad[folder]!);
}

function put(dir: string, files: Record<string, string | null>): void {
  mkdirSync(dir, { recursive: true });
  for (const [name, text] of Object.entries(files)) {
    if (text === null) mkdirSync(join(dir, name));
    else writeFileSync(join(dir, name), text);
  }
}

function released(epoch: number) {
  return { epoch, counter: 9, released: true, at: new Date(0).toISOString() };
}
