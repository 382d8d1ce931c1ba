// What runs on a pod and writes all day: ComfyUI, ffmpeg, VideoHelperSuite.
import { joinPath } from '../../../src/paths.ts';
import { makeMp4, makeWebm } from '../../support/media.ts';
import { picture, SILENT_FORMATS, smallSize, TELLING_FORMATS } from './bodies.ts';
import type { Hand } from './hand.ts';
import type { Kind } from './kind.ts';
import { mp4Strokes, webmStrokes } from './strokes.ts';

/** Opens the final name, writes, closes. One picture, a batch, now and then a queue that was waiting. */
const comfyui: Kind = {
  name: 'comfyui',
  share: 8,
  async round(hand) {
    const { random } = hand;
    const dir = joinPath(hand.folder(), random.pick(['', '', 'portraits', '2026-11-20'])).replace(/\/$/, '');
    const isBurst = random.chance(0.15);
    const files = isBurst ? random.between(10, 40) : random.between(1, 4);
    for (let nth = 0; nth < files && !hand.signal.aborted; nth += 1) {
      const path = await hand.next(dir, 'ComfyUI_', '_.png');
      if (path === undefined) return;
      await hand.write(path, picture(random, hand.seed()));
      if (!isBurst) await hand.pause(0, 150);
    }
  },
};

/** The other nodes that save: each has its prefix and its format. */
const otherNodes: Kind = {
  name: 'other nodes',
  share: 2,
  async round(hand) {
    const { random } = hand;
    const [prefix, extension] = random.pick([
      ['audio', '.flac'],
      ['audio', '.mp3'],
      ['3d', '.glb'],
      ['animated', '.webp'],
      ['animated', '.gif'],
      ['sound', '.wav'],
      ['photo', '.jpg'],
    ] as const);
    const path = await hand.next(joinPath(hand.folder(), prefix), 'ComfyUI_', `_${extension}`);
    const make = TELLING_FORMATS[extension] ?? SILENT_FORMATS[extension]!;
    if (path !== undefined) await hand.write(path, make(smallSize(random), hand.seed()));
  },
};

/** Opens the final name and takes its time, with pauses; what says that it is whole comes last. */
const ffmpeg: Kind = {
  name: 'ffmpeg',
  share: 1,
  slow: true,
  async round(hand) {
    const extension = hand.random.pick(['.mp4', '.webm']);
    const path = await hand.next(joinPath(hand.folder(), 'video'), 'ComfyUI_', `_${extension}`);
    if (path !== undefined) await film(hand, path, extension, 2500);
  },
};

/** A picture with the workflow, a film beside it, and another with sound; then the silent one may go. */
const vhs: Kind = {
  name: 'vhs',
  share: 1,
  slow: true,
  async round(hand) {
    const { random } = hand;
    const poster = await hand.next(joinPath(hand.folder(), 'vhs'), 'AnimateDiff_', '.png');
    if (poster === undefined) return;
    const silent = poster.replace(/\.png$/, '.mp4');
    const sound = poster.replace(/\.png$/, '-audio.mp4');
    if (!hand.claim(silent) || !hand.claim(sound)) return;
    await hand.write(poster, picture(random, hand.seed()));
    await film(hand, silent, '.mp4', 1200);
    await film(hand, sound, '.mp4', 300);
    if (random.chance(0.5)) await hand.remove(silent);
  },
};

/** Names that nobody looks at until they are done; other people's nodes do that. */
const temporaryNames: Kind = {
  name: 'temporary name',
  share: 1,
  async round(hand) {
    const { random } = hand;
    const path = await hand.next(hand.folder(), 'upscaled_', '.png');
    if (path === undefined) return;
    const temporary = `${random.pick(['.', ''])}upscaled-${hand.seed()}.png.${random.pick(['tmp', 'part'])}`;
    await hand.moveIn(path, picture(random, hand.seed()), temporary, { pauseMs: [0, 400] });
  },
};

async function film(hand: Hand, path: string, extension: string, pauseMs: number): Promise<void> {
  const { random } = hand;
  const bytes = random.chance(0.05) ? random.between(9_000_000, 12_000_000) : random.between(20_000, 400_000);
  const seed = hand.seed();
  const pieces = random.between(3, 12);
  const pause = { pauseMs: [0, pauseMs] } as const;
  if (extension === '.webm') {
    const body = makeWebm({ bytes, seed });
    return hand.write(path, body, { strokes: webmStrokes(body, bytes, seed, pieces), ...pause });
  }
  const body = makeMp4({ bytes, seed });
  return hand.write(path, body, { strokes: mp4Strokes(body, pieces), ...pause });
}

export const programs: readonly Kind[] = [comfyui, otherNodes, ffmpeg, vhs, temporaryNames];
