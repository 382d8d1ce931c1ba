// GLB: whole when the length in its header is the file's.
import type { ByteSource, Verdict } from './source.ts';

const HEADER_BYTES = 12;

/** At most one read. */
export async function judgeGlb(source: ByteSource): Promise<Verdict> {
  if (source.size < HEADER_BYTES) return 'torn';
  const length = await source.read(8, 4);
  return length.length === 4 && length.readUInt32LE(0) === source.size ? 'whole' : 'torn';
}
