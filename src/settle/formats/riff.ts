// WebP and WAV: whole when the RIFF size is the file's. Writers that stream put a wrong size first and patch it at close.
import { type ByteSource, ByteWindow, type Verdict } from './source.ts';

const RIFF_HEADER_BYTES = 12;
const CHUNK_HEADER_BYTES = 8;
const MAX_RIFF_FILE = 0xffff_ffff + CHUNK_HEADER_BYTES;
/** Steps, and so reads, to a WAV's sound; real files have it third or fourth. */
const MAX_CHUNKS = 64;

/** One read. */
export async function judgeWebp(source: ByteSource): Promise<Verdict> {
  return (await hasRiffSize(source)) ? 'whole' : 'torn';
}

/**
 * At most 1 + MAX_CHUNKS reads. The data chunk has to hold something: a header alone, with sizes that are right for that
 * moment, is how some writers begin. Exception: Python's wave module puts the size of its first write into the header and
 * patches it at close, so a sound that it writes in several pieces passes as whole after the first.
 */
export async function judgeWav(source: ByteSource): Promise<Verdict> {
  if (source.size > MAX_RIFF_FILE) return 'unknown'; // the size field can't say it
  if (!(await hasRiffSize(source))) return 'torn';
  const window = new ByteWindow(source);
  let position = RIFF_HEADER_BYTES;
  for (let chunk = 0; chunk < MAX_CHUNKS; chunk++) {
    const head = await window.at(position, CHUNK_HEADER_BYTES);
    if (head === undefined) return 'torn';
    const size = head.readUInt32LE(4);
    position += CHUNK_HEADER_BYTES + size;
    if (head.toString('latin1', 0, 4) === 'data') return size > 0 && position <= source.size ? 'whole' : 'torn';
    position += size % 2;
  }
  return 'unknown';
}

/** An odd size is padded to an even one, but not by everyone: both are accepted. */
async function hasRiffSize(source: ByteSource): Promise<boolean> {
  const field = await source.read(4, 4);
  if (field.length < 4) return false;
  const size = field.readUInt32LE(0);
  const end = CHUNK_HEADER_BYTES + size;
  return source.size === end || source.size === end + (size % 2);
}
