// What a team writes: pictures and films as ComfyUI names them, every one with bytes of its own.
import { decodeName } from '../../src/paths.ts';
import { makeMp4, makePngOfSize } from '../support/media.ts';
import type { Team } from './team.ts';

/** Twelve users: two whose names need encoding, one who needs bytes that are no UTF-8, and files in no folder. */
export const TWELVE_FOLDERS = [
  ...['.', 'alice', 'bob', 'carol', 'dave', 'erin', 'frank', 'grace', 'heidi'],
  'Zoë Müller & Söhne 100%',
  "~ivan's (old) pictures [2026]",
  decodeName(Buffer.from('ren\xe9e', 'latin1')),
];

let seed = 1;

/** A picture of 20 to 300 KB whose bytes no other file has. */
export function picture(bytes = 20_000 + ((seed * 37_123) % 280_000)): Buffer {
  seed += 1;
  return makePngOfSize(bytes, seed);
}

/** `count` pictures in a folder under names of their own, written one after the other on the mount of a pod. */
export async function drawMany(team: Team, pod: number, folder: string, count: number, bytes?: number): Promise<void> {
  for (let nth = 0; nth < count; nth += 1) {
    await team.write(pod, below(folder, `ComfyUI_${String(seed).padStart(5, '0')}_.png`), picture(bytes));
  }
}

/**
 * All pods write into all folders at once: names that are the same in every folder, subdirectories, a few films, and two
 * files that go in parts.
 */
export async function writeEverywhere(team: Team, folders: readonly string[]): Promise<void> {
  const writers = team.pods.map(async ({ number }) => {
    for (const [index, folder] of folders.entries()) {
      const name = `ComfyUI_${String(number).padStart(5, '0')}_`;
      await team.write(number, below(folder, `${name}.png`), picture());
      if (folder === '.') continue;
      await team.write(number, `${folder}/portraits/2026/${name}.png`, picture());
      seed += 1;
      if ((index + number) % 5 === 0) {
        await team.write(number, `${folder}/video/${name}.mp4`, makeMp4({ bytes: 400_000, seed }));
      }
    }
    if (number <= 2) await team.write(number, below(folders[number]!, 'long.png'), picture(9_000_000));
  });
  await Promise.all(writers);
}

function below(folder: string, name: string): string {
  return folder === '.' ? name : `${folder}/${name}`;
}
