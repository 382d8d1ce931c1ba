// `r2-sync ls`: what is in the bucket, as folders and files. Names are told from keys, so that a thousand take one request;
// what needs an object's metadata is for other commands.
import { listObjects, prefixesOf } from '../bucket/inventory.ts';
import { ExitCode } from '../errors.ts';
import { pathOfKey } from '../object/key.ts';
import { folderOf, printable } from '../paths.ts';
import { type Column, tableLines } from '../status/terminal.ts';
import { files, number, size } from '../status/words.ts';
import type { ListedObject } from '../upload/store.ts';
import { withBucket } from './bucket.ts';
import { printJson, terminalWidth } from './output.ts';

export interface LsOptions {
  folder?: string;
  long: boolean;
  json: boolean;
}

interface Row {
  /** Below what was asked for; a folder's ends with a slash. */
  name: string;
  /** Of a file. */
  key: string | undefined;
  files: number;
  bytes: number;
  /** When the newest was stored, wall ms. */
  storedAt: number;
}

/** `place`: a path as on the pod, or the beginning of a key. Exit codes: done, refused, unexpected. */
export function ls(place: string | undefined, options: LsOptions): Promise<ExitCode> {
  return withBucket(async ({ config, store }) => {
    const { keyTemplate } = config;
    const literal = keyTemplate.slice(0, keyTemplate.indexOf('{'));
    const asked = [options.folder, place]
      .filter(Boolean)
      .join('/')
      .replace(/^(\.\/)+/, '');
    const isKey = options.folder === undefined && literal !== '' && asked.startsWith(literal);
    const prefixes = isKey ? [asked] : prefixesOf(keyTemplate, asked === '' ? [] : [folderOf(`${asked}/`)]);
    const base = isKey || asked === '' ? asked.slice(0, asked.lastIndexOf('/') + 1) : `${asked.replace(/\/+$/, '')}/`;
    const collect = async (below: readonly string[]) => {
      const rows = new Map<string, Row>();
      for await (const object of listObjects(store, below)) {
        const name = isKey ? object.key : pathOfKey(keyTemplate, object.key);
        if (name.startsWith(base)) addTo(rows, name.slice(base.length), object);
        // The file itself was asked for.
        else if (name === asked) addTo(rows, name.slice(name.lastIndexOf('/') + 1), object);
      }
      return rows;
    };
    let rows = await collect(prefixes);
    // What was taken for a folder may be a file that lies in none.
    if (rows.size === 0 && !isKey && !asked.includes('/')) rows = await collect(prefixesOf(keyTemplate));
    const sorted = [...rows.values()].sort(foldersFirst);
    if (options.json) printJson(lsFacts(sorted, config.bucket, asked));
    else console.log(describeRows(sorted, options.long, config.bucket, asked));
    return ExitCode.done;
  });
}

/** A file is a row of its own, even where another has its name; what lies deeper counts for its folder. */
function addTo(rows: Map<string, Row>, name: string, object: ListedObject): void {
  const slash = name.indexOf('/');
  const folder = slash === -1 ? undefined : name.slice(0, slash + 1);
  const id = folder ?? `\0${object.key}`;
  const row = rows.get(id) ?? {
    name: folder ?? name,
    key: folder === undefined ? object.key : undefined,
    files: 0,
    bytes: 0,
    storedAt: 0,
  };
  row.files += 1;
  row.bytes += object.size;
  row.storedAt = Math.max(row.storedAt, object.modifiedAt);
  rows.set(id, row);
}

function foldersFirst(a: Row, b: Row): number {
  if ((a.key === undefined) !== (b.key === undefined)) return a.key === undefined ? -1 : 1;
  if (a.name !== b.name) return a.name < b.name ? -1 : 1;
  return b.storedAt - a.storedAt;
}

function lsFacts(rows: readonly Row[], bucket: string, asked: string) {
  const at = ({ storedAt }: Row) => (storedAt === 0 ? null : new Date(storedAt).toISOString());
  return {
    bucket,
    path: printable(asked),
    folders: rows
      .filter(({ key }) => key === undefined)
      .map((row) => ({ name: printable(row.name), files: row.files, bytes: row.bytes, lastStoredAt: at(row) })),
    files: rows
      .filter(({ key }) => key !== undefined)
      .map((row) => ({ name: printable(row.name), key: row.key, bytes: row.bytes, storedAt: at(row) })),
  };
}

function describeRows(rows: readonly Row[], long: boolean, bucket: string, asked: string): string {
  const where = `the bucket "${bucket}"${asked === '' ? '' : ` below ${printable(asked)}`}`;
  if (rows.length === 0) return `Nothing is in ${where}.`;
  const columns: Column<Row>[] = [
    [long ? 'key' : 'name', 'name', (row) => printable((long ? row.key : undefined) ?? row.name)],
    ['files', 'count', ({ key, files: count }) => (key === undefined ? number(count) : '')],
    ['size', 'count', ({ bytes }) => (long ? number(bytes) : size(bytes))],
    ['stored (UTC)', 'short', ({ storedAt }) => describeTime(storedAt, long)],
  ];
  const total = rows.reduce((sum, row) => ({ files: sum.files + row.files, bytes: sum.bytes + row.bytes }), {
    files: 0,
    bytes: 0,
  });
  // Who asks for keys wants to copy them.
  const lines = tableLines(columns, rows, long ? Number.POSITIVE_INFINITY : terminalWidth());
  return [...lines, `${files(total.files)}, ${size(total.bytes)}, in ${where}`].join('\n');
}

function describeTime(at: number, long: boolean): string {
  if (at === 0) return '';
  const iso = new Date(at).toISOString();
  return long ? iso : iso.slice(0, 16).replace('T', ' ');
}
