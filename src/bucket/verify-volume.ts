// The volume against the ledger: which files are as they were stored, which aren't, and which the ledger doesn't know.
import PQueue from 'p-queue';
import { errorCode } from '../errors.ts';
import { objectKey } from '../object/key.ts';
import { printable, type RelPath } from '../paths.ts';
import { mayBeOneVersion } from '../settle/identity.ts';
import type { Findings, NewFile, VerifyOptions } from './findings.ts';
import type { RecordedFile } from './recorded-rows.ts';
import { hashOutput, listOutputs, lookAtFiles, type OutputDirectory } from './volume-files.ts';

const HASHES_AT_ONCE = 2;
const NO_HASH = '0'.repeat(64);

/** A file whose bytes are to be hashed, as it was seen. */
interface ToHash {
  path: RelPath;
  /** Bytes. */
  size: number;
  mtimeNs: bigint;
  /** What is known about it. */
  file: RecordedFile | NewFile;
}

/**
 * Marks what was found of each recorded file, and finds those that aren't recorded. `expected` gets what these would be
 * in the bucket, by size and key: the key alone where bytes are read, its shape (`shapeOf`) otherwise.
 */
export async function compareVolume(
  options: VerifyOptions,
  directory: OutputDirectory,
  findings: Findings,
  expected: Map<string, NewFile>,
): Promise<void> {
  const { scope, deep, onProgress, notBefore, keyTemplate, timezone } = options;
  const { recorded } = findings;
  const toHash: ToHash[] = [];
  let seen = 0;
  const compareFile = (file: RecordedFile, size: number, mtimeNs: bigint) => {
    const known = { size: file.object.size, mtimeNs: file.mtimeNs };
    const same = size === known.size && mtimeNs === known.mtimeNs;
    file.volume = same || mayBeOneVersion(known, { size, mtimeNs }) ? 'same' : 'changed';
    if (deep && file.volume === 'same') toHash.push({ path: file.path, size, file, mtimeNs });
  };
  const { skipped, unreadable } = await listOutputs(directory, scope.from, ({ path, size, mtimeNs, ctimeNs }) => {
    if (!scope.includes(path)) return;
    seen += 1;
    if (seen % 1000 === 0) onProgress({ what: 'looking at the volume', done: seen });
    const file = recorded.files.get(path);
    if (file) return compareFile(file, size, mtimeNs);
    if (size === 0) findings.empty += 1;
    else if (Number(ctimeNs / 1_000_000n) < notBefore) findings.older += 1;
    else {
      const fresh = { path, size, inBucket: false };
      findings.newFiles.push(fresh);
      if (deep) toHash.push({ path, size, file: fresh, mtimeNs });
      // A name that is a hash alone is no name to be recognised by.
      else if (keyTemplate.includes('{name}'))
        expected.set(`${size} ${shapeOf(objectKey(keyTemplate, timezone, { path, mtimeNs, sha256: NO_HASH }))}`, fresh);
    }
  });
  Object.assign(findings, { skipped, unreadable });
  // Left out by the filter that is set now, or in a directory that can't be read: gone is what isn't there.
  const unseen = recorded.files.where(({ volume }) => volume === 'elsewhere');
  await lookAtFiles(directory, unseen, (path, size, mtimeNs) => {
    const file = recorded.files.get(path)!;
    if (size === -1) file.volume = 'gone';
    else if (size !== undefined) compareFile(file, size, mtimeNs);
  });
  await hashFiles(directory, toHash, options, (entry, sha256) => {
    const { file } = entry;
    if ('object' in file) {
      if (sha256 !== file.object.sha256) file.volume = entry.mtimeNs === file.mtimeNs ? 'damaged' : 'changed';
      return;
    }
    for (const wide of [false, true])
      expected.set(`${entry.size} ${objectKey(keyTemplate, timezone, { ...entry, sha256 }, { wide })}`, file);
  });
}

async function hashFiles(
  directory: OutputDirectory,
  entries: readonly ToHash[],
  { onProgress, log }: VerifyOptions,
  onHash: (entry: ToHash, sha256: string) => void,
): Promise<void> {
  const queue = new PQueue({ concurrency: HASHES_AT_ONCE });
  const totalBytes = entries.reduce((sum, { size }) => sum + size, 0);
  let bytes = 0;
  let done = 0;
  for (const entry of entries) {
    await queue.onSizeLessThan(HASHES_AT_ONCE);
    void queue.add(async () => {
      try {
        const hashed = await hashOutput(directory, entry.path, (read) => {
          bytes += read;
          onProgress({ what: 'reading the volume', done, total: entries.length, bytes, totalBytes });
        });
        if (typeof hashed === 'object' && hashed.size === entry.size) onHash(entry, hashed.sha256);
        else if ('volume' in entry.file) entry.file.volume = hashed === 'gone' ? 'gone' : 'changed';
      } catch (error) {
        if ('volume' in entry.file) entry.file.volume = 'elsewhere';
        const name = printable(entry.path);
        log.warn({ path: name, code: errorCode(error) }, `${name} can't be read on the volume (${errorCode(error)})`);
      }
      done += 1;
    });
  }
  await queue.onIdle();
}

/** A key without its hash: by it an object is recognised whose content isn't known. */
export function shapeOf(key: string): string {
  return key.replace(/[0-9a-f]{64}|[0-9a-f]{16}/g, '#');
}
