// Directories: made a moment before they are written to, copied from elsewhere, renamed with all that is in them.
import { joinPath, type RelPath } from '../../../src/paths.ts';
import { makePngOfSize } from '../../support/media.ts';
import { picture } from './bodies.ts';
import type { Hand } from './hand.ts';
import type { Kind } from './kind.ts';

const DAY_MS = 86_400_000;

/** Files in each of them, written as soon as there is a directory: what recursive watchers miss. */
const newDirectories: Kind = {
  name: 'new directories',
  share: 1,
  async round(hand) {
    const { random } = hand;
    let dir = newDirectory(hand, 'run');
    if (!hand.claim(dir)) return;
    for (let depth = random.between(1, 5); depth > 0 && !hand.signal.aborted; depth -= 1) {
      for (let nth = random.between(1, 3); nth > 0; nth -= 1) {
        await hand.write(joinPath(dir, `ComfyUI_${String(nth).padStart(5, '0')}_.png`), picture(random, hand.seed()));
      }
      dir = joinPath(dir, random.pick(['a', 'b c', '%date:yyyy-MM-dd%', 'ü', 'x'.repeat(60)]));
    }
  },
};

/** By hand, from a disk at home: times of long ago, all at once. */
const copiedTree: Kind = {
  name: 'copied tree',
  share: 0.3,
  async round(hand) {
    const { random } = hand;
    const top = newDirectory(hand, 'from home');
    if (!hand.claim(top)) return;
    for (let left = random.between(5, 25); left > 0 && !hand.signal.aborted; left -= 1) {
      const dir = joinPath(top, random.pick(['2024', '2024/summer', '2025', '2025/a/b']));
      const mtime = new Date(Date.now() - random.between(1, 900) * DAY_MS - random.between(0, DAY_MS));
      await hand.write(joinPath(dir, `IMG_${left}.png`), picture(random, hand.seed()), { mtime });
    }
  },
};

/** What was known under one path is under another; and the old names may be used again at once. */
const renamedTree: Kind = {
  name: 'directory renamed',
  share: 0.4,
  slow: true,
  async round(hand) {
    const { random } = hand;
    const from = newDirectory(hand, 'tour');
    const to = newDirectory(hand, 'tour');
    if (from === to || !hand.claim(from) || !hand.claim(to)) return;
    const paths = Array.from({ length: random.between(2, 7) }, (_, nth) =>
      joinPath(
        from,
        `${random.pick(['', '', 'inner/', 'inner/most/'])}ComfyUI_${String(nth + 1).padStart(5, '0')}_.png`,
      ),
    );
    const bytes = random.between(5_000, 40_000);
    const fill = async () => {
      for (const path of paths) await hand.write(path, makePngOfSize(bytes, hand.seed()));
    };
    await fill();
    await hand.pause(0, random.pick([0, 2000, 15_000]));
    await hand.renameDirectory(from, to);
    if (random.chance(0.6)) await fill();
    if (random.chance(0.3)) {
      const swapped = newDirectory(hand, 'tour');
      await hand.pause(0, 6000);
      // Names and sizes are what they were, and all bytes are others.
      if (hand.below(from).length > 0 && hand.claim(swapped)) {
        await hand.renameDirectory(to, swapped);
        await hand.renameDirectory(from, to);
      }
    }
  },
};

/** In a folder, or a folder of its own where there is none. A number that was never used before. */
function newDirectory(hand: Hand, name: string): RelPath {
  return joinPath(hand.folder(), `${name} ${hand.seed()}`);
}

export const trees: readonly Kind[] = [newDirectories, copiedTree, renamedTree];
