// Folders, and names that programs and people really give.
import { decodeName, joinPath, type RelPath } from '../../../src/paths.ts';

/** '' is no folder: files that lie directly in the output directory. */
export const FOLDERS: readonly RelPath[] = [
  'alice',
  'bob',
  'carol',
  '',
  'Zoë Müller & Söhne 100%',
  decodeName(Buffer.from('ren\xe9e', 'latin1')),
];

/** Without an extension. */
const ODD: readonly string[] = [
  'a picture of mine (final) [2]',
  ' leading and trailing ',
  'caf\u00e9'.normalize('NFC'),
  'cafe\u0301'.normalize('NFD'),
  '写真 🖼️',
  'per%20cent %date:yyyy-MM-dd%',
  `it's "quoted" & <tagged>`,
  'back\\slash and new\nline',
  '-rf',
  'dots...in..the.name',
  decodeName(Buffer.from('b\xfccher \xff\xfe', 'latin1')),
  'long '.repeat(47).trim(),
  'ü'.repeat(120),
];

/** Claims nothing: where it is taken, it is rewritten. */
export function oddPath(dir: RelPath, at: number, extension: string): RelPath {
  return joinPath(dir, `${ODD[at % ODD.length]!}${extension}`);
}

export const oddNames = ODD.length;
