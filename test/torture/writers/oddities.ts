// What is legal and rare, what crashed, and what is no output at all.
import { execFile } from 'node:child_process';
import { symlink } from 'node:fs/promises';
import { promisify } from 'node:util';
import { joinPath } from '../../../src/paths.ts';
import { makeMp4, makeWebm } from '../../support/media.ts';
import { picture, SILENT_FORMATS, smallSize, TELLING_FORMATS } from './bodies.ts';
import { hiddenNameOf } from './hand.ts';
import type { Kind } from './kind.ts';
import { oddNames, oddPath } from './names.ts';

const oddName: Kind = {
  name: 'odd name',
  share: 1,
  async round(hand) {
    const { random } = hand;
    const path = oddPath(joinPath(hand.folder(), 'odd'), random.between(0, oddNames - 1), '.png');
    if (hand.claim(path)) await hand.write(path, picture(random, hand.seed()));
  },
};

/** Nothing in them says that they are whole. Some are added to line by line, and closed after each. */
const documents: Kind = {
  name: 'document',
  share: 0.7,
  async round(hand) {
    const { random } = hand;
    const extension = random.pick(['.txt', '.json']);
    const path = await hand.next(joinPath(hand.folder(), 'notes'), 'note_', extension);
    if (path === undefined) return;
    let body = SILENT_FORMATS[extension]!(random.between(100, 20_000), hand.seed());
    await hand.write(path, body, { pauseMs: [0, 300] });
    for (let left = random.pick([0, 0, 3]); left > 0 && !hand.signal.aborted; left -= 1) {
      await hand.pause(50, 2000);
      if (hand.at(path)?.bytes !== body.length) return;
      const line = Buffer.from(`line ${hand.seed()}\n`);
      const strokes = [{ at: body.length, bytes: line }];
      body = Buffer.concat([body, line]);
      await hand.write(path, body, { over: 'in place', strokes });
    }
  },
};

/** Out of memory in the middle: half a file, closed by the kernel. Some are made again. */
const crash: Kind = {
  name: 'crash',
  share: 0.5,
  slow: true,
  async round(hand) {
    const { random } = hand;
    const extension = random.pick(Object.keys(TELLING_FORMATS));
    const path = await hand.next(joinPath(hand.folder(), 'crashed'), 'ComfyUI_', `_${extension}`);
    if (path === undefined) return;
    const bytes = random.between(5_000, 200_000);
    const seed = hand.seed();
    const body = TELLING_FORMATS[extension]!(bytes, seed);
    const unfinished =
      extension === '.mp4'
        ? makeMp4({ bytes, seed, layout: 'unfinished' })
        : extension === '.webm'
          ? makeWebm({ bytes, seed, segmentSize: 'unknown' })
          : body;
    await hand.writeTorn(path, unfinished.subarray(0, random.between(20, body.length - 20)), { pauseMs: [0, 300] });
    if (random.chance(0.5)) return;
    await hand.pause(0, 8000);
    await hand.write(path, body);
  },
};

/** Links and pipes under the name of an output, for good or until it is made again. */
const obstacles: Kind = {
  name: 'obstacle',
  share: 0.3,
  slow: true,
  async round(hand) {
    const { random } = hand;
    const isReplaced = random.chance(0.5);
    const path = isReplaced ? hand.pick()?.path : await hand.next(joinPath(hand.folder(), 'links'), 'link_', '.png');
    if (path === undefined) return;
    const target = random.pick(['/etc/passwd', '/dev/zero', '../alice', 'nowhere', '../links']);
    const make = random.pick([
      (absolute: string | Buffer) => symlink(target, absolute),
      // Its arguments are text: a name that isn't UTF-8 gets a link.
      (absolute: string | Buffer) =>
        typeof absolute === 'string' ? promisify(execFile)('mkfifo', ['--', absolute]) : symlink(target, absolute),
    ]);
    await hand.obstruct(path, make);
    if (!isReplaced) return;
    await hand.pause(0, 4000);
    await hand.moveIn(path, picture(random, hand.seed()), hiddenNameOf(path));
  },
};

/** Hidden, temporary, of no format that is wanted, or empty: never in the bucket. */
const leftAlone: Kind = {
  name: 'left alone',
  share: 0.5,
  async round(hand) {
    const { random } = hand;
    const number = hand.seed();
    const name = random.pick([
      `.hidden-${number}.png`,
      `half-${number}.png.tmp`,
      `half-${number}.mp4.part`,
      `.cache/thumb-${number}.png`,
      `model-${number}.safetensors`,
      `empty-${number}.png`,
      `empty-${number}.txt`,
    ]);
    const isEmpty = name.startsWith('empty');
    await hand.scribble(joinPath(hand.folder(), name), isEmpty ? Buffer.alloc(0) : picture(random, number));
  },
};

/** A share of what programs write comes in formats and sizes that pictures don't have. */
const anyFormat: Kind = {
  name: 'any format',
  share: 1,
  async round(hand) {
    const { random } = hand;
    const formats = { ...TELLING_FORMATS, ...SILENT_FORMATS };
    const extension = random.pick(Object.keys(formats));
    const shown = random.chance(0.2) ? extension.toUpperCase() : extension;
    const path = await hand.next(joinPath(hand.folder(), 'mixed'), 'file-', shown);
    if (path !== undefined) await hand.write(path, formats[extension]!(smallSize(random), hand.seed()));
  },
};

export const oddities: readonly Kind[] = [oddName, documents, crash, obstacles, leftAlone, anyFormat];
