// What happens to files that are there: written over, replaced, deleted, renamed.
import { directoryOf, extensionOf, joinPath } from '../../../src/paths.ts';
import { makePngOfSize } from '../../support/media.ts';
import { picture, smallSize } from './bodies.ts';
import { type Hand, hiddenNameOf } from './hand.ts';
import type { Kind } from './kind.ts';
import type { Version } from './shelf.ts';
import { piecesOf } from './strokes.ts';

const isSmallPng = ({ path, bytes }: Version): boolean => bytes < 1_000_000 && extensionOf(path) === '.png';
/** In so many strokes is a large file written over. */
const LARGE_STROKES = 16;
/** Enough for others to read half of it. */
const SMALL_STROKES = 4;

const rewrites: Kind = {
  name: 'rewrite',
  share: 2,
  async round(hand) {
    const version = hand.pick(isSmallPng);
    if (version) await replace(hand, version.path, hand.random.chance(0.3) ? version.bytes : smallSize(hand.random));
  },
};

/** The same name again and again, faster than anybody can send it. */
const hotFile: Kind = {
  name: 'hot file',
  share: 0.4,
  async round(hand) {
    const path = await hand.next(hand.folder(), 'preview_', '.png');
    if (path === undefined) return;
    const bytes = smallSize(hand.random);
    await hand.write(path, makePngOfSize(bytes, hand.seed()));
    for (let left = hand.random.between(4, 20); left > 0 && !hand.signal.aborted; left -= 1) {
      await replace(hand, path, hand.random.chance(0.5) ? bytes : smallSize(hand.random));
      await hand.pause(20, 600);
    }
  },
};

/** Large enough to go in parts, and written over while it is read or sent. */
const largeFile: Kind = {
  name: 'large file',
  share: 0.5,
  slow: true,
  async round(hand) {
    const { random } = hand;
    const path = await hand.next(joinPath(hand.folder(), 'large'), 'Upscale_', '.png');
    if (path === undefined) return;
    const bytes = random.between(9_000_000, 20_000_000);
    await hand.write(path, makePngOfSize(bytes, hand.seed()));
    for (let left = random.between(1, 3); left > 0 && !hand.signal.aborted; left -= 1) {
      await hand.pause(0, 1500);
      const body = makePngOfSize(bytes, hand.seed());
      const strokes = piecesOf(body, Math.ceil(bytes / LARGE_STROKES));
      const over = random.pick(['in place', 'truncate'] as const);
      await hand.write(path, body, { over, strokes, pauseMs: [0, 60] });
    }
  },
};

const deletes: Kind = {
  name: 'delete',
  share: 1.5,
  async round(hand) {
    for (let left = hand.random.between(1, 6); left > 0; left -= 1) {
      const version = hand.pick();
      if (version) await hand.remove(version.path);
    }
  },
};

/** Other bytes under the name of what was deleted; of the same size, or the counter began again. */
const reusedNames: Kind = {
  name: 'name reused',
  share: 1,
  slow: true,
  async round(hand) {
    const { random } = hand;
    const version = hand.pick(isSmallPng);
    if (!version) return;
    await hand.remove(version.path);
    await hand.pause(0, random.pick([0, 1500, 14_000]));
    await hand.write(version.path, makePngOfSize(random.chance(0.6) ? version.bytes : smallSize(random), hand.seed()));
  },
};

/** A user makes room; the counter begins again. */
export const emptied: Kind = {
  name: 'folder emptied',
  share: 0.3,
  async round(hand) {
    for (let tries = 0; tries < 5; tries += 1) {
      const dir = directoryOf(hand.pick()?.path ?? '');
      if (dir === '') continue;
      hand.letGo();
      if (hand.claim(dir)) return hand.removeDirectory(dir);
    }
    for (let left = 100; left > 0; left -= 1) {
      const version = hand.pick();
      if (version) await hand.remove(version.path);
    }
  },
};

const renames: Kind = {
  name: 'rename',
  share: 1,
  async round(hand) {
    const { random } = hand;
    const version = hand.pick();
    if (!version) return;
    const extension = extensionOf(version.path);
    const over = random.chance(0.25) ? hand.pick(({ path }) => extensionOf(path) === extension) : undefined;
    const to = over?.path ?? (await hand.next(hand.folder(), 'best of ', extension));
    if (to === undefined) return;
    await hand.rename(version, to);
    if (random.chance(0.3)) await hand.write(version.path, sameKind(hand, version));
  },
};

/** Times that are kept: `cp -p` of other bytes, of the same size or of another, onto the same name. */
const keptTimes: Kind = {
  name: 'times kept',
  share: 0.5,
  slow: true,
  async round(hand) {
    const { random } = hand;
    const path = await hand.next(hand.folder(), 'kept_', '.png');
    if (path === undefined) return;
    const mtime = new Date(Date.now() - random.between(60, 90_000) * 1000);
    let bytes = smallSize(random);
    await hand.write(path, makePngOfSize(bytes, hand.seed()), { mtime });
    await hand.pause(0, random.pick([500, 6000, 20_000]));
    if (random.chance(0.6)) bytes = smallSize(random);
    const body = makePngOfSize(bytes, hand.seed());
    if (random.chance(0.5)) await hand.moveIn(path, body, hiddenNameOf(path), { mtime });
    else await hand.write(path, body, { mtime, over: 'in place' });
  },
};

/** In one of the ways in which programs write over what is there. */
async function replace(hand: Hand, path: string, bytes: number): Promise<void> {
  const body = makePngOfSize(bytes, hand.seed());
  const way = hand.random.pick(['truncate', 'truncate', 'in place', 'rename over'] as const);
  if (way === 'rename over') return hand.moveIn(path, body, hiddenNameOf(path));
  const strokes = piecesOf(body, Math.ceil(bytes / SMALL_STROKES));
  return hand.write(path, body, { over: way, strokes, pauseMs: [0, 25] });
}

function sameKind(hand: Hand, { path, bytes }: Version): Buffer {
  return extensionOf(path) === '.png' ? makePngOfSize(bytes, hand.seed()) : picture(hand.random, hand.seed());
}

export const changes: readonly Kind[] = [
  rewrites,
  hotFile,
  largeFile,
  deletes,
  reusedNames,
  emptied,
  renames,
  keptTimes,
];
