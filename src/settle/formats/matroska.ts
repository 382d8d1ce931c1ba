// WebM and MKV: whole when the segment's size is known and ends with the file. It is unknown until the writer patches it at close.
import { type ByteSource, ByteWindow, type Verdict } from './source.ts';

/** The identifier 18538067, without the bit that says how long it is. */
const SEGMENT = 0x08538067;
/** Elements up to the segment: the EBML header, perhaps some padding. */
const MAX_ELEMENTS = 16;

/** At most 4 reads for each of MAX_ELEMENTS elements. */
export async function judgeMatroska(source: ByteSource): Promise<Verdict> {
  const window = new ByteWindow(source);
  let position = 0;
  for (let count = 0; count < MAX_ELEMENTS; count++) {
    const id = await readNumber(window, position, 4);
    if (id === undefined) return 'torn';
    const size = await readNumber(window, id.end, 8);
    if (size === undefined || size.unknown) return 'torn';
    const end = size.end + size.value;
    if (id.value === SEGMENT) return end === source.size ? 'whole' : 'torn';
    position = end;
  }
  return 'unknown';
}

interface VariableNumber {
  value: number;
  /** All bits of the value are set. */
  unknown: boolean;
  end: number;
}

/** EBML's number of 1 to `maxBytes` bytes: the leading zeros of the first say how many follow. Undefined if it isn't one. */
async function readNumber(window: ByteWindow, position: number, maxBytes: number): Promise<VariableNumber | undefined> {
  const first = (await window.at(position, 1))?.[0] ?? 0;
  const length = Math.clz32(first) - 23;
  if (length > maxBytes) return undefined;
  const bytes = await window.at(position, length);
  if (bytes === undefined) return undefined;
  // The first bit that is set ends the zeros and isn't part of the value. Beyond 2^53 that isn't exact, and beyond any file.
  const start = first - (0x80 >> (length - 1));
  const value = bytes.subarray(1).reduce((sum, byte) => sum * 256 + byte, start);
  return { value, unknown: value >= 2 ** (7 * length) - 1, end: position + length };
}
