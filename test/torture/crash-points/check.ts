// What must hold when the last agent has ended, checked by what the writers wrote, what the store holds and what is on the
// volume: nothing here asks the agent, or uses its code.
import { createHash } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Life } from './life.ts';
import { ledgerLines, notesOf, stateFiles } from './state.ts';

/** All that is known at the end of a life. */
export type Remains = Pick<Life, 'store' | 'place' | 'versions' | 'requests' | 'stored' | 'died' | 'notesAtDeath'>;

/** Requests that a death may cost: what was in flight is asked for and sent again, and the new agent probes once. */
const MORE_REQUESTS = 10;
/** Files that may be in flight at a time: R2_CONCURRENCY and the lanes for larger ones. */
const IN_FLIGHT = 6;

/** @param usualRequests how many a life without a death has. Gives what is wrong, in words. */
export async function checkLife(life: Remains, exitCode: number | string, usualRequests: number): Promise<string[]> {
  const wrong: string[] = [];
  const { store, place, versions } = life;
  if (exitCode !== 0) wrong.push(`the last agent ended with ${exitCode}`);

  const hashes = new Map([...store.objects].map(([key, { body }]) => [key, hashOf(body!)]));
  for (const [key, sha256] of hashes) {
    if (!key.includes(sha256.slice(0, 16))) wrong.push(`${key} holds other bytes than it says`);
    if (store.objects.get(key)!.metadata.sha256 !== sha256) wrong.push(`${key} has the wrong sha256 beside it`);
    if (!versions.some((version) => version.sha256 === sha256 && belongsTo(key, version.path)))
      wrong.push(`${key} is nothing that was written`);
  }
  for (const { path, sha256 } of versions) {
    const keys = [...hashes].filter(([key, hash]) => hash === sha256 && belongsTo(key, path));
    if (keys.length !== 1) wrong.push(`${path} (${sha256.slice(0, 16)}) is ${keys.length} times in the bucket`);
  }
  const counts = Map.groupBy(life.stored, ({ key }) => key);
  for (const [key, { length }] of counts) if (length > 1) wrong.push(`${key} was written ${length} times`);

  wrong.push(...(await checkLedger(life, hashes)), ...(await checkState(life)));

  const present = new Map(versions.map((version) => [version.path, version]));
  for (const { path, sha256, mtimeMs } of present.values()) {
    const file = join(place.output, path);
    const [body, found] = await Promise.all([readFile(file), stat(file)]).catch(() => []);
    if (!body || hashOf(body) !== sha256 || found?.mtimeMs !== mtimeMs) wrong.push(`${path} was touched`);
  }
  const allowed = usualRequests + (life.died ? MORE_REQUESTS : 0);
  if (life.requests.length > allowed) wrong.push(`${life.requests.length} requests where ${allowed} are enough`);
  const puts = life.requests.filter((name) => name.startsWith('PutObject ')).length;
  if (puts > versions.length + 1 + (life.died ? IN_FLIGHT : 0)) wrong.push(`${puts} PUTs for ${versions.length} files`);
  return wrong;
}

async function checkLedger({ place, versions }: Remains, hashes: Map<string, string>): Promise<string[]> {
  const wrong: string[] = [];
  const lines = await ledgerLines(place.output);
  for (const { path, sha256, key } of lines) {
    if (key !== undefined && hashes.get(key) !== sha256) wrong.push(`the ledger says ${key} is stored, and it isn't`);
    if (!versions.some((version) => version.path === path && version.sha256 === sha256))
      wrong.push(`the ledger has a ${path} (${sha256.slice(0, 16)}) that was never written`);
  }
  for (const { path, sha256 } of new Map(versions.map((version) => [version.path, version])).values())
    if (!lines.some((line) => line.path === path && line.sha256 === sha256)) wrong.push(`${path} isn't in the ledger`);
  return wrong;
}

async function checkState({ place, store, died, notesAtDeath }: Remains): Promise<string[]> {
  const wrong: string[] = [];
  const files = await stateFiles(place.output);
  for (const file of files.filter((name) => isRead(name, files)))
    try {
      JSON.parse(await readFile(join(place.output, '.r2-sync', file), 'utf8'));
    } catch {
      wrong.push(`${file} can't be read`);
    }
  const temporary = files.filter((name) => name.endsWith('.tmp'));
  // Two folders may have been claimed in the moment of the death.
  const folders = new Set(temporary.map((name) => dirname(name)));
  if (temporary.length > (died ? folders.size : 0)) wrong.push(`left behind: ${temporary.join(', ')}`);
  const claims = files.filter((name) => /\/lease\.\d+\.json$/.test(name));
  if (claims.length > 2 * new Set(claims.map((name) => name.split('/').at(-2))).size)
    wrong.push(`claims pile up: ${claims.join(', ')}`);
  const notes = await notesOf(place.output);
  if (notes.length > 0) wrong.push(`left behind: ${notes.join(', ')}`);
  // Until it is noted nobody can know of an upload: the bucket drops it after seven days.
  if (store.uploads.size > (died && notesAtDeath.length === 0 ? 1 : 0))
    wrong.push(`${store.uploads.size} uploads unfinished`);
  return wrong;
}

/** A beat beside a later claim is nobody's any more: its holder may have died in its first one. */
function isRead(file: string, files: readonly string[]): boolean {
  const beat = /^(.*)\/beat\.(\d+)\.json$/.exec(file);
  if (beat) return !files.includes(`${beat[1]}/lease.${Number(beat[2]) + 1}.json`);
  return /\/lease\.\d+\.json$|\/~[^/]*\.json$/.test(file);
}

/** As docs/ say that keys are made: `outputs/<directory>/<day>/<name>-<hash16><ext>`. */
function belongsTo(key: string, path: string): boolean {
  const slash = path.lastIndexOf('/');
  const dot = path.lastIndexOf('.');
  const directory = slash === -1 ? '' : `${path.slice(0, slash)}/`;
  const rest = key.slice(`outputs/${directory}`.length);
  return (
    key.startsWith(`outputs/${directory}`) &&
    new RegExp(`^[0-9-]{10}/${path.slice(slash + 1, dot)}-[0-9a-f]{16}\\${path.slice(dot)}$`).test(rest)
  );
}

function hashOf(body: Buffer): string {
  return createHash('sha256').update(body).digest('hex');
}
