// A file that somebody else appends to, read line by line.
import { readSync } from 'node:fs';

/**
 * The lines that have their end by now, without it, and how many bytes they take: the last one may still be growing.
 * Throws the system's error. @param from bytes that were read before
 */
export function readWholeLines(descriptor: number, from: number): { lines: string[]; bytes: number } {
  const pieces: Buffer[] = [];
  for (let at = from; ; ) {
    const piece = Buffer.alloc(65_536);
    const bytes = readSync(descriptor, piece, 0, piece.length, at);
    if (bytes === 0) break;
    pieces.push(piece.subarray(0, bytes));
    at += bytes;
  }
  const text = Buffer.concat(pieces);
  const bytes = text.lastIndexOf('\n') + 1;
  return { lines: text.toString('utf8', 0, bytes).split('\n').slice(0, -1), bytes };
}
