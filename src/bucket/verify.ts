// Ledger, volume and bucket against each other. The bucket is asked by LIST alone; `deep` reads bytes back, of the bucket
// and of the volume, and hashes them. Nothing is written. What was found is told in verify-report.ts.
import { objectKey } from '../object/key.ts';
import { isProbe } from '../object/probe.ts';
import type { RelPath } from '../paths.ts';
import type { Findings, ForeignObject, NewFile, VerifyOptions } from './findings.ts';
import { listObjects } from './inventory.ts';
import { readBack } from './read-back.ts';
import { Recorded } from './recorded.ts';
import { listingPrefixes, showsOnlyScope } from './scope.ts';
import { compareVolume, shapeOf } from './verify-volume.ts';
import type { OutputDirectory } from './volume-files.ts';

/** Objects that the ledger may have come to know by the end of the listing. */
const REMEMBERED = 1000;
const EXAMPLES = 20;

/** Throws StoreError where the bucket can't be listed. */
export async function compare(options: VerifyOptions): Promise<Findings> {
  const { directory, scope, keyTemplate, timezone, deep, onProgress } = options;
  const recorded = new Recorded({
    targetDir: directory?.targetDir ?? '',
    io: directory?.fs as OutputDirectory['fs'],
    clock: options.clock,
    log: options.log,
    inScope: scope.includes,
    keyOf: (fact) => objectKey(keyTemplate, timezone, fact),
  });
  const findings: Findings = {
    recorded,
    newFiles: [],
    empty: 0,
    older: 0,
    skipped: {},
    unreadable: [],
    listed: { objects: 0, bytes: 0 },
    foreign: { objects: 0, bytes: 0, examples: [], damaged: [], unread: [], unhashed: [] },
    foundSizes: new Map(),
    troubles: [],
  };
  const expected = new Map<string, NewFile>();
  if (directory) {
    onProgress({ what: 'reading the ledger', done: 0 });
    const trouble = await recorded.read();
    if (trouble !== undefined) findings.troubles.push(trouble);
    await compareVolume(options, directory, findings, expected);
  }
  recorded.listingBegins();
  const foreign = await listBucket(options, findings, expected);
  if (deep) {
    const known = [...recorded.objects.where(({ bucket }) => bucket === 'there')];
    Object.assign(findings.foreign, await readBack(options, known, [...foreign.values()]));
  }
  if (directory) await catchUp(findings, foreign);
  findings.foreign.examples = [...foreign.values()].slice(0, EXAMPLES);
  recorded.markCurrent();
  return findings;
}

/** Gives the objects that the ledger doesn't know; not all of them where they are many and needn't be read. */
async function listBucket(
  options: VerifyOptions,
  findings: Findings,
  expected: ReadonlyMap<string, NewFile>,
): Promise<Map<string, ForeignObject>> {
  const { store, keyTemplate, scope, deep, onProgress } = options;
  const { recorded } = findings;
  const foreign = new Map<string, ForeignObject>();
  const onlyScope = showsOnlyScope(keyTemplate, scope);
  const take = (key: string, size: number) => {
    findings.listed.objects += 1;
    findings.listed.bytes += size;
    if (findings.listed.objects % 1000 === 0) onProgress({ what: 'listing the bucket', done: findings.listed.objects });
    const object = recorded.objects.get(key);
    if (object) {
      object.bucket = object.size === size ? 'there' : 'size';
      if (object.bucket === 'size') findings.foundSizes.set(key, size);
      return;
    }
    if (!onlyScope || isProbe(key, {})) return;
    const match = expected.get(`${size} ${deep ? key : shapeOf(key)}`);
    if (match) match.inBucket = true;
    findings.foreign.objects += 1;
    findings.foreign.bytes += size;
    if (deep || foreign.size < REMEMBERED) foreign.set(key, { key, size });
  };
  const prefixes = listingPrefixes(keyTemplate, scope, recorded.objects.keys());
  for await (const { key, size } of listObjects(store, prefixes)) take(key, size);
  return foreign;
}

/** Takes in what a running agent has stored meanwhile. */
async function catchUp(findings: Findings, objects: Map<string, ForeignObject>): Promise<void> {
  const { recorded, foreign } = findings;
  const stored = new Set<RelPath>();
  await recorded.read((path) => stored.add(path));
  findings.newFiles = findings.newFiles.filter(({ path }) => !stored.has(path));
  for (const path of stored) {
    const object = recorded.files.get(path)?.object;
    const known = object && objects.get(object.key);
    if (!object || !known) continue;
    object.bucket = known.size === object.size ? 'there' : 'size';
    objects.delete(known.key);
    foreign.objects -= 1;
    foreign.bytes -= known.size;
  }
}
