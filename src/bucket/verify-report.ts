// What a comparison found, in words: one table of groups, each with what it means and what to do. `bad` groups are what
// keeps the answer from being "everything is there".
import { printable } from '../paths.ts';
import { be, endSentence, files, number, size } from '../status/words.ts';
import type { Findings, ForeignObject, NewFile } from './findings.ts';
import type { RecordedFile, RecordedObject } from './recorded-rows.ts';

/** One file or object, for people. */
export interface Row {
  path?: string;
  key?: string;
  /** Of the file or, without one, of the object. */
  bytes?: number;
  detail?: string;
}

export interface Group extends Found {
  id: string;
  bad: boolean;
  /** What it is, as the end of a sentence that begins with the count. */
  says: string;
  todo: string;
}

interface Found {
  count: number;
  /** All of them, or where they are harmless and many, examples. */
  rows: () => Iterable<Row>;
}

const noRows = () => [];

export interface Outcome {
  /** Rows of what was uploaded again. */
  repaired: Row[];
  /** Why a file couldn't be, by its path. */
  reasons: ReadonlyMap<string, string>;
  /** Rows of what can't be sent again: other bytes were uploaded. */
  overwritten: Row[];
}

/** What a report is about. */
interface Subject {
  bucket: string;
  /** Bytes were read back. */
  deep: boolean;
  /** There is an output directory to compare the bucket with. */
  compared: boolean;
}

const UNREAD = "not to be read back: the store didn't give their bytes";
/** How many rows of a group are printed. */
const SHOWN = 20;

const WHERE: Record<Exclude<RecordedFile['volume'], 'same'>, string> = {
  changed: 'changed on the volume since',
  gone: 'not on the volume any more',
  damaged: 'other bytes on the volume',
  elsewhere: "the volume doesn't tell",
};

const REPAIR = '`r2-sync verify --repair` uploads again what is on the volume as it was stored.';
const BESIDE =
  'The object is left as it is, for r2-sync never changes one; the right bytes go beside it, under a key with the whole hash.';

/** Whether the bytes that are missing in the bucket can be had from the volume. */
export function isRepairable({ object, volume }: RecordedFile): boolean {
  return volume === 'same' && (object.bucket === 'missing' || object.bucket === 'size' || object.bucket === 'bytes');
}

export function groupsOf(
  findings: Findings,
  { repaired, reasons, overwritten }: Outcome,
  { deep, compared }: Subject,
): Group[] {
  const same = deep ? 'still whole on the volume' : 'still of the same size and time on the volume';
  const { recorded, newFiles, foreign, unreadable, troubles, skipped } = findings;
  const rowOf = (file: RecordedFile): Row => ({
    path: printable(file.path),
    key: file.object.key,
    bytes: file.object.size,
    detail: [sizeFound(findings, file), file.volume === 'same' ? same : WHERE[file.volume], reasons.get(file.path)]
      .filter(Boolean)
      .join('; '),
  });
  // Of a hundred thousand, no more is made than is shown.
  const of = (wanted: (file: RecordedFile) => boolean): Found => ({
    count: countOf(recorded.files.where(wanted)),
    rows: () => mapped(recorded.files.where(wanted), rowOf),
  });
  const list = <T>(items: readonly T[], toRow: (item: T) => Row): Found => ({
    count: items.length,
    rows: () => mapped(items, toRow),
  });
  const unknown = newFiles.filter(({ inBucket }) => inBucket);
  const pending = newFiles.filter(({ inBucket }) => !inBucket);
  const newRow = ({ path, size: bytes }: NewFile): Row => ({ path: printable(path), bytes });
  const objectRow = ({ key, size: bytes }: ForeignObject): Row => ({ key, bytes });
  const isThere = ({ object }: RecordedFile) => object.bucket === 'there';
  const earlier = (wanted: (found: RecordedObject['bucket']) => boolean) =>
    countOf(recorded.objects.where(({ current, bucket }) => !current && wanted(bucket)));
  const bad = (id: string, found: Found, says: string, todo: string): Group => ({
    id,
    bad: true,
    says,
    todo,
    ...found,
  });
  const fine = (id: string, found: Found | number, says: string, todo = ''): Group => {
    const { count, rows } = typeof found === 'number' ? { count: found, rows: noRows } : found;
    return { id, bad: false, says, todo, count, rows };
  };
  const groups = [
    fine(
      'repaired',
      list(repaired, (row) => row),
      'uploaded again and in the bucket now',
    ),
    bad(
      'missing',
      of((file) => file.object.bucket === 'missing' && isRepairable(file)),
      'gone from the bucket: deleted there by somebody',
      REPAIR,
    ),
    bad(
      'lost',
      of((file) => file.object.bucket === 'missing' && !isRepairable(file)),
      'gone from the bucket, and not on the volume any more as stored',
      'Nothing here can bring them back: look for a copy elsewhere. If they were deleted on purpose, all is well.',
    ),
    bad(
      'overwritten',
      list(overwritten, (row) => row),
      'not what it was: the volume has other bytes now; what was stored is lost',
      'The new bytes are in the bucket. For the old ones, look for a copy elsewhere.',
    ),
    bad(
      'size',
      of(({ object }) => object.bucket === 'size'),
      'of another size in the bucket: cut off, or overwritten by another program',
      `${REPAIR} ${BESIDE}`,
    ),
    bad(
      'bytes',
      of(({ object }) => object.bucket === 'bytes'),
      'of the right size but other bytes in the bucket',
      `${REPAIR} ${BESIDE}`,
    ),
    bad(
      'unread',
      of(({ object }) => object.bucket === 'unread'),
      UNREAD,
      'Try again.',
    ),
    bad(
      'earlierUnread',
      { count: earlier((found) => found === 'unread'), rows: noRows },
      `of earlier versions of files, and ${UNREAD}`,
      'Try again.',
    ),
    bad('foreignUnread', list(foreign.unread, objectRow), `not in the ledger, and ${UNREAD}`, 'Try again.'),
    bad(
      'foreignBytes',
      list(foreign.damaged, objectRow),
      "not in the ledger, and their bytes aren't what their own metadata says",
      'Another program wrote them. Nothing here knows the right bytes.',
    ),
    bad(
      'pending',
      list(pending, newRow),
      'on the volume and not in the bucket yet',
      'A running agent uploads them by itself (`r2-sync wait` waits for it); without one, `r2-sync sync` does.',
    ),
    bad(
      'unrecorded',
      list(unknown, newRow),
      'not in the ledger, but the bucket has an object of that name, day and size',
      'The ledger was lost, or another one was used. `r2-sync sync` compares them and notes them; nothing is sent twice.',
    ),
    bad(
      'changed',
      of((file) => file.volume === 'changed' && isThere(file)),
      'newer on the volume than in the bucket',
      'What was stored is in the bucket. A running agent uploads the new version by itself within 15 minutes; without one, `r2-sync sync` does.',
    ),
    bad(
      'damaged',
      of((file) => file.volume === 'damaged' && isThere(file)),
      'of the same size and time as stored but of other bytes on the volume',
      'The bucket has what was stored: move the file away, and `r2-sync restore` brings it back.',
    ),
    bad(
      'noLedger',
      { count: compared && recorded.files.size === 0 ? foreign.objects : 0, rows: noRows },
      'in the bucket, and nothing here tells whether these are all',
      'Is this the right volume, and are COMFYUI_OUTPUT_DIR, R2_BUCKET and R2_ENDPOINT as they were? If the ledger is gone for good: `r2-sync verify --deep` looks whether each object is whole, and `r2-sync restore` brings their files back.',
    ),
    bad(
      'directories',
      list(unreadable, ({ path, code }) => ({ path: printable(path) || '.', detail: code })),
      "directories that can't be read: what is in them wasn't compared",
      'Check their permissions and the volume.',
    ),
    bad(
      'troubles',
      list(troubles, (detail) => ({ detail })),
      '',
      '',
    ),
    fine(
      'onlyInBucket',
      of((file) => file.volume === 'gone' && isThere(file)).count,
      'only in the bucket: deleted from the volume',
      'Keep the bucket.',
    ),
    fine(
      'foreign',
      { count: foreign.objects, rows: () => foreign.examples.map(objectRow) },
      'in the bucket and not in this ledger: of another pod, of an earlier ledger, or put there by somebody',
    ),
    fine(
      'earlier',
      earlier((found) => found !== 'missing' && found !== 'unread'),
      'earlier versions of files that were overwritten since',
    ),
    fine(
      'earlierGone',
      earlier((found) => found === 'missing'),
      'earlier versions of files that were overwritten since, and gone from the bucket',
    ),
    fine('unhashed', list(foreign.unhashed, objectRow), 'not checked: no hash is stored with them'),
    fine(
      'incomplete',
      of((file) => file.object.incomplete && isThere(file)),
      'stored as they were: their writers never finished them',
    ),
    fine('empty', findings.empty, 'empty: left'),
    fine('older', findings.older, 'older than the agent: left (R2_EXISTING=skip)'),
    ...Object.entries(skipped).map(([reason, count]) => fine(`skipped`, count, `left alone: ${reason}`)),
  ];
  return groups.filter(({ count }) => count > 0);
}

/** The answer in one or two sentences. */
export function headlineOf(
  { recorded, listed, foreign }: Findings,
  groups: readonly Group[],
  { bucket, deep, compared }: Subject,
): string {
  const stored = recorded.files.size;
  const bad = groups.filter((group) => group.bad);
  const inBucket = `The bucket "${bucket}" has ${objects(listed.objects)} (${size(listed.bytes)})`;
  if (!compared) {
    return `Nothing was compared, for there is no output directory here. ${inBucket}${deep ? describeBytes(foreign) : ''}.`;
  }
  const how = deep ? 'byte for byte' : 'with their sizes';
  if (bad.length === 0 && stored > 0)
    return `Everything is there: all ${files(stored)} that were stored are in the bucket "${bucket}", ${how}.`;
  const empty =
    listed.objects === 0
      ? ` The bucket "${bucket}" is empty: check R2_BUCKET and R2_ENDPOINT before you repair anything.`
      : '';
  if (stored === 0)
    return `There is no ledger of the bucket "${bucket}" here. That is so before the first upload, after the ledger was deleted, and with another R2_BUCKET or R2_ENDPOINT than before.${empty}`;
  const rows = bad.reduce((sum, { count }) => sum + count, 0);
  return `Not everything is as it should be: ${number(rows)} ${rows === 1 ? 'thing needs' : 'things need'} a look, beside ${files(stored)} that the ledger knows.${empty}`;
}

function describeBytes({ damaged, unread, unhashed }: Findings['foreign']): string {
  if (damaged.length > 0) return ", and their bytes aren't all right";
  const unchecked = unread.length + unhashed.length;
  return unchecked > 0 ? `; the bytes of ${number(unchecked)} weren't checked` : ', and their bytes are right';
}

function sizeFound({ foundSizes }: Findings, { object }: RecordedFile): string {
  const found = foundSizes.get(object.key);
  return object.bucket === 'size' && found !== undefined ? `${number(found)} of ${number(object.size)} bytes` : '';
}

/** What belongs to the objects of a table, which are counted as files otherwise. */
const OBJECTS: ReadonlySet<string> = new Set([
  'foreign',
  'foreignBytes',
  'foreignUnread',
  'unhashed',
  'noLedger',
  'earlier',
  'earlierUnread',
  'earlierGone',
]);

/** A line that says what it is and what to do, and below it the first rows. */
export function describeGroup({ id, bad, count, says, todo, rows }: Group): string[] {
  if (id === 'troubles') return [...rows()].map(({ detail = '' }) => detail);
  const what = OBJECTS.has(id) ? objects(count) : files(count);
  const subject = id === 'directories' ? number(count) : `${what} ${be(count)}`;
  const lines = [`${subject} ${says}.${todo === '' ? '' : ` ${todo}`}`];
  if (!bad && id !== 'repaired') return lines;
  for (const row of rows()) {
    if (lines.length > SHOWN) break;
    lines.push(`  ${describeRow(row)}`);
  }
  if (count > SHOWN && lines.length > 1) lines.push(`  and ${number(count - SHOWN)} more (--json lists all)`);
  return lines;
}

function describeRow({ path, key, bytes, detail }: Row): string {
  const name = path ?? (key === undefined ? '' : printable(key));
  const facts = [bytes === undefined ? '' : size(bytes), detail ?? ''].filter(Boolean).join('; ');
  if (name === '') return endSentence(facts);
  return facts === '' ? name : `${name} (${facts})`;
}

function objects(count: number): string {
  return `${number(count)} ${count === 1 ? 'object' : 'objects'}`;
}

function countOf(items: Iterable<unknown>): number {
  let count = 0;
  for (const _ of items) count += 1;
  return count;
}

function* mapped<T>(items: Iterable<T>, toRow: (item: T) => Row): Generator<Row> {
  for (const item of items) yield toRow(item);
}
