// Which object a file is in: by the ledger where there is one, else by a LIST of its folder.
import type { Clock } from '../clock.ts';
import { fileIo } from '../ledger/io.ts';
import { folderDirName } from '../ledger/location.ts';
import { readFolder } from '../ledger/reader.ts';
import type { Log } from '../log.ts';
import { pathOfKey } from '../object/key.ts';
import { folderOf, type RelPath } from '../paths.ts';
import type { ListedObject, Store } from '../upload/store.ts';
import { listObjects, prefixesOf } from './inventory.ts';

/** The key under which a file was stored last, as the ledger has it; undefined where it doesn't know. */
export async function keyInLedger(
  targetDir: string,
  path: RelPath,
  { clock, log }: { clock: Clock; log: Log },
): Promise<string | undefined> {
  let key: string | undefined;
  const take = (fact: { path: RelPath; key: string | undefined }) => {
    // A line without a key says that only the file's time has moved.
    if (fact.path === path && fact.key !== undefined) key = fact.key;
    return false;
  };
  await readFolder({ io: fileIo, clock, log, take }, `${targetDir}/${folderDirName(folderOf(path))}`);
  return key;
}

/** The key that was stored last of those that tell this path. */
export async function keyInBucket(store: Store, keyTemplate: string, path: RelPath): Promise<string | undefined> {
  let newest: ListedObject | undefined;
  for await (const object of listObjects(store, prefixesOf(keyTemplate, [folderOf(path)])))
    if (pathOfKey(keyTemplate, object.key) === path && object.modifiedAt >= (newest?.modifiedAt ?? 0)) newest = object;
  return newest?.key;
}
