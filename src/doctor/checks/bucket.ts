// What the agent asks of the bucket, done once for real on small objects: put, ask, read back, never replace, list; and
// whether of several who write one key at the same moment one alone succeeds. Nothing is deleted: what stays is named.
import { ExitCode } from '../../errors.ts';
import { hashBuffer } from '../../object/hash.ts';
import {
  ensureProbe,
  isRefusal,
  type ProbeObject,
  probeKey,
  probeObject,
  probePut,
} from '../../upload/probe-object.ts';
import { StoreError } from '../../upload/store.ts';
import { bad, type Check, type Finding, good, note, sentence, warning } from '../check.ts';
import type { Subject } from '../subject.ts';

/** R2 takes one write a second to one key. */
const SAME_KEY_MS = 1100;
const RACERS = 5;
/** A store that shows no single winner is raced again by each run, and leaves an object behind each time: not for ever. */
const RACES = 5;

export const bucketChecks: readonly Check[] = [
  { id: 'put', title: 'Bucket: put', needs: ['store'], exitCode: ExitCode.refused, seconds: 20, look: tryPut },
  { id: 'head', title: 'Bucket: head', needs: ['put'], exitCode: ExitCode.refused, look: tryHead },
  { id: 'get', title: 'Bucket: get', needs: ['head'], exitCode: ExitCode.refused, look: tryGet },
  { id: 'list', title: 'Bucket: list', needs: ['put'], exitCode: ExitCode.refused, look: tryList },
  {
    id: 'conditional',
    title: 'Bucket: never replace',
    needs: ['put'],
    exitCode: ExitCode.refused,
    look: tryConditional,
  },
  {
    id: 'winner',
    title: 'Bucket: one winner',
    needs: ['head'],
    exitCode: ExitCode.refused,
    seconds: 20,
    look: tryRace,
  },
];

const LISTING = 'Uploads work. `verify`, `ls` and `restore` need a token that may list the bucket.';
const READING = 'Uploads work. `restore`, `link` and `verify --deep` need a token that may read objects.';
const UNSAFE =
  'This store may replace objects that are there. Use one that honours If-None-Match, as Cloudflare R2 does; a proxy in front of it may be what drops that header.';

async function tryPut(subject: Subject, signal: AbortSignal): Promise<Finding> {
  const { store, config, folder, left } = subject;
  return await telling(async () => {
    const { key, already } = await ensureProbe(store, config, folder, probeObject, signal);
    subject.probeKey = key;
    left.add(key);
    return good(already ? `has ${key} from an earlier try` : `took ${key}`);
  });
}

async function tryHead({ store, probeKey }: Subject, signal: AbortSignal): Promise<Finding> {
  return await telling(async () => {
    const head = await store.head(probeKey, signal);
    const { bytes } = probeObject;
    if (head?.size === bytes.length && head.metadata.sha256 === hashBuffer(bytes))
      return good('finds it as it was put');
    return bad(
      head ? 'finds it, but not as it was put' : "doesn't find what was put",
      'A cache or another server stands in front of the bucket: set R2_ENDPOINT to the S3 API address.',
    );
  });
}

async function tryGet({ store, probeKey }: Subject, signal: AbortSignal): Promise<Finding> {
  return await telling(
    async () => {
      const reply = await store.get(probeKey, { signal });
      const pieces: Buffer[] = [];
      for await (const piece of reply?.body ?? []) pieces.push(piece);
      if (Buffer.concat(pieces).equals(probeObject.bytes)) return good('gives the bytes that were put');
      return bad('gives other bytes than were put', 'A cache or another server stands in front of the bucket.');
    },
    (error) => warning(error.message, READING),
  );
}

async function tryList({ store, probeKey }: Subject, signal: AbortSignal): Promise<Finding> {
  return await telling(
    async () => {
      // The whole key as the prefix: one request, however full the bucket is.
      for await (const { key } of store.list(probeKey, signal)) if (key === probeKey) return good('has it');
      return warning("doesn't have what was put", 'Try again in a minute: some stores list what is new only later.');
    },
    (error) => note(error.message, LISTING),
  );
}

/** A second put to a key that is taken must be refused. */
async function tryConditional({ store, probeKey, clock }: Subject, signal: AbortSignal): Promise<Finding> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      await store.put(probePut(probeObject, probeKey, signal));
      return bad('the store replaced an object that was there (it ignores If-None-Match)', UNSAFE);
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      if (error.failure === 'exists') return good('a second put to the same key is refused');
      if (attempt === 2) return note(`could not be tried: ${error.message}`);
      await clock.sleep(SAME_KEY_MS, signal);
    }
  }
}

/** That it was raced with one winner is remembered in the bucket: once for all, and three objects in all. */
const wonOnce: ProbeObject = {
  name: 'r2-sync-probe-race-won.txt',
  bytes: Buffer.from(
    'r2-sync doctor wrote an object several times at once, and one alone succeeded. You may delete this; then it tries again.\n',
  ),
};

function raceObject(race: number): ProbeObject {
  const text = `r2-sync doctor wrote this ${RACERS} times at once, to see whether one alone succeeds (try ${race}). You may delete it.\n`;
  return { name: `r2-sync-probe-race-${race}.txt`, bytes: Buffer.from(text) };
}

async function tryRace(subject: Subject, signal: AbortSignal): Promise<Finding> {
  const { store, config, folder, left } = subject;
  return await telling(async () => {
    const won = probeKey(config, folder, wonOnce);
    const wasWon = (await store.head(won, signal)) !== undefined;
    let race = 1;
    for (; race <= RACES; race += 1) {
      const key = probeKey(config, folder, raceObject(race));
      if (!(await store.head(key, signal))) break;
      left.add(key);
    }
    if (wasWon) {
      left.add(won);
      return good(`of ${RACERS} puts at once one succeeded, when that was tried in this bucket`);
    }
    if (race > RACES) return warning(`${RACES} tries showed no single winner`, UNSAFE);
    const key = probeKey(config, folder, raceObject(race));
    const puts = Array.from({ length: RACERS }, () => store.put(probePut(raceObject(race), key, signal)));
    const finding = judgeRace(await Promise.allSettled(puts));
    left.add(key);
    if (finding.mark === 'good') left.add((await ensureProbe(store, config, folder, wonOnce, signal)).key);
    return finding;
  });
}

/** @param outcomes of puts to one key at the same moment */
export function judgeRace(outcomes: readonly PromiseSettledResult<unknown>[]): Finding {
  const winners = outcomes.filter(({ status }) => status === 'fulfilled').length;
  const reasons = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason as StoreError] : []));
  const losers = reasons.filter(({ failure }) => failure === 'exists').length;
  if (winners > 1) return bad(`of ${outcomes.length} puts to one key at once ${winners} succeeded`, UNSAFE);
  if (winners === 1 && losers > 0) return good(`of ${outcomes.length} puts to one key at once one succeeded`);
  const other = reasons.find(({ failure }) => failure !== 'exists');
  return note(`could not be told: ${other?.message ?? 'no put succeeded'}`, 'Run doctor again, a little later.');
}

/** @param judge what a refusal means; what else goes wrong is bad */
async function telling(work: () => Promise<Finding>, judge?: (error: StoreError) => Finding): Promise<Finding> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    const refused = isRefusal(error);
    if (refused && judge) return judge(error);
    return bad(error.message, sentence(error.fix), refused ? ExitCode.refused : ExitCode.unexpected);
  }
}
