// Is the file whole by its format? Decided by the name's extension, then by the first bytes, then by the format's check.
import { judgeGif } from './gif.ts';
import { judgeGlb } from './glb.ts';
import { judgeJpeg } from './jpeg.ts';
import { judgeMatroska } from './matroska.ts';
import { judgeMp4 } from './mp4.ts';
import { judgePng } from './png.ts';
import { judgeWav, judgeWebp } from './riff.ts';
import type { ByteSource, FormatCheck, Verdict } from './source.ts';

export { type ByteSource, bufferSource, type Verdict } from './source.ts';

interface Format {
  /** What a file of this format may begin with: one character per byte, `?` for any byte. */
  magic: readonly string[];
  check: FormatCheck;
}

const png: Format = { magic: ['\x89PNG\r\n\x1a\n'], check: judgePng };
const jpeg: Format = { magic: ['\xff\xd8\xff'], check: judgeJpeg };
const gif: Format = { magic: ['GIF89a', 'GIF87a'], check: judgeGif };
const webp: Format = { magic: ['RIFF????WEBP'], check: judgeWebp };
// RF64, for sounds over 4 GiB, begins otherwise: it can't tell.
const wav: Format = { magic: ['RIFF????WAVE'], check: judgeWav };
const mp4: Format = {
  // All but the first are how QuickTime files from before `ftyp` begin.
  magic: ['????ftyp', '????moov', '????mdat', '????free', '????skip', '????wide', '????pnot'],
  check: judgeMp4,
};
const matroska: Format = { magic: ['\x1aE\xdf\xa3'], check: judgeMatroska };
const glb: Format = { magic: ['glTF'], check: judgeGlb };

/** Formats that aren't here (FLAC, MP3, Ogg, Opus, AVIF, text, latents …) don't say how long they are. */
const formats: ReadonlyMap<string, Format> = new Map([
  ['.png', png],
  ['.apng', png],
  ['.jpg', jpeg],
  ['.jpeg', jpeg],
  ['.gif', gif],
  ['.webp', webp],
  ['.wav', wav],
  ['.mp4', mp4],
  ['.m4v', mp4],
  ['.m4a', mp4],
  ['.mov', mp4],
  ['.webm', matroska],
  ['.mkv', matroska],
  ['.glb', glb],
]);

const LONGEST_MAGIC = 12;

/** Whether there is a check for this extension (`.png`, in any case). */
export function formatCanTell(extension: string): boolean {
  return formats.has(extension.toLowerCase());
}

/**
 * Judges the bytes by the format that the extension (`.png`, in any case) names. Bytes that aren't that format at all, a
 * JPEG named .png, are `unknown`; the beginning of its first bytes, and so an empty file, is `torn`. Whatever the bytes,
 * it ends after a bounded number of reads, holds 1 MiB at most, and rejects only when the source does.
 */
export async function judgeFormat(extension: string, source: ByteSource): Promise<Verdict> {
  const format = formats.get(extension.toLowerCase());
  if (format === undefined) return 'unknown';
  const head = await source.read(0, LONGEST_MAGIC);
  const candidates = format.magic.filter((magic) => agrees(head, magic));
  if (candidates.some((magic) => head.length >= magic.length)) return format.check(source);
  return candidates.length > 0 ? 'torn' : 'unknown';
}

/** Whether the bytes contradict the magic nowhere, as far as both go. */
function agrees(head: Buffer, magic: string): boolean {
  const length = Math.min(head.length, magic.length);
  for (let i = 0; i < length; i++) {
    if (magic[i] !== '?' && magic.charCodeAt(i) !== head[i]) return false;
  }
  return true;
}
