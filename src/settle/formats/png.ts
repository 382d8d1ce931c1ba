// PNG and APNG: whole when the IEND chunk is there.
import { type ByteSource, ByteWindow, type Verdict } from './source.ts';

const SIGNATURE_BYTES = 8;
const CHUNK_OVERHEAD = 12;
/** An IEND chunk is always these bytes: no data, the type, the checksum of the type. */
const IEND = Buffer.from('0000000049454e44ae426082', 'hex');
/** Steps, and so reads, of the walk: 64 MiB of the 64 KiB chunks that PIL writes, 8 MiB of libpng's 8 KiB ones. */
const MAX_CHUNKS = 1024;

/** At most 1 read for a file that ends with IEND, and 1 + MAX_CHUNKS for any other. */
export async function judgePng(source: ByteSource): Promise<Verdict> {
  const tail = await source.read(Math.max(0, source.size - IEND.length), IEND.length);
  if (tail.equals(IEND)) return 'whole';
  return (await hasIendBeforeEnd(source)) ? 'whole' : 'torn';
}

/** Tools append to finished pictures; the picture is whole then, too. */
async function hasIendBeforeEnd(source: ByteSource): Promise<boolean> {
  const window = new ByteWindow(source);
  let position = SIGNATURE_BYTES;
  for (let chunk = 0; chunk < MAX_CHUNKS; chunk++) {
    const head = await window.at(position, CHUNK_OVERHEAD);
    // A file that was cut ends here; one with a hole of zeros (a crash of the machine) has a chunk without a type.
    if (head === undefined || !isChunkType(head)) return false;
    if (head.equals(IEND)) return true;
    position += head.readUInt32BE(0) + CHUNK_OVERHEAD;
  }
  return false;
}

function isChunkType(head: Buffer): boolean {
  return /^[A-Za-z]{4}$/.test(head.toString('latin1', 4, 8));
}
