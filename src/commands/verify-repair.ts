// Uploads again what the bucket doesn't have as the ledger says and the volume still has whole. Who writes to the ledger is
// whoever holds the folder's lease, so this asks: the agent that runs beside it, and where none does, one of its own that
// lives for this alone and takes leases like any other. What counts as repaired is what the ledger got and a HEAD finds.
import PQueue from 'p-queue';
import { Agent } from '../agent.ts';
import type { Findings, Progress } from '../bucket/findings.ts';
import { PATIENCE, patiently } from '../bucket/patience.ts';
import type { RecordedFile } from '../bucket/recorded-rows.ts';
import { isRepairable, type Outcome } from '../bucket/verify-report.ts';
import { systemClock } from '../clock.ts';
import type { Config } from '../config/types.ts';
import { explain } from '../errors.ts';
import type { Log } from '../log.ts';
import { printable, type RelPath } from '../paths.ts';
import { askAgent, askForRepair } from '../status/client.ts';
import { REPAIRS_AT_ONCE, type Repair } from '../status/repair.ts';
import type { Snapshot } from '../status/snapshot.ts';
import type { Store } from '../upload/store.ts';
import type { VolumeGate } from '../volume/gate.ts';

export interface RepairOptions {
  config: Config;
  store: Store;
  log: Log;
  volumeGate: VolumeGate;
  onProgress: (progress: Progress) => void;
}

/** Who sends the files. */
interface Uploader {
  /** Undefined when it has ended. */
  snapshot: () => Promise<Snapshot | undefined>;
  /** Whether it has nothing else to do. */
  isDone: () => boolean;
  close: () => Promise<void>;
}

const POLL_MS = 500;
/** So long nothing may move before the rest is given up: a folder may be another pod's, which gives it back at rest. */
const PATIENCE_MS = 120_000;
const HEADS_AT_ONCE = 16;

interface MutableOutcome extends Outcome {
  reasons: Map<RelPath, string>;
}

/** Marks in `findings` what is right again. Throws UserError where the agent doesn't do as it is asked. */
export async function repair(findings: Findings, options: RepairOptions): Promise<Outcome> {
  const { recorded } = findings;
  const wanted = [...recorded.files.where(isRepairable)];
  const outcome: MutableOutcome = { repaired: [], reasons: new Map(), overwritten: [] };
  const uploader = await findUploader(wanted, hasMore(findings), options);
  if (!uploader) return outcome;
  const waiting = new Set(wanted.map(({ path }) => path));
  // The rows get what the ledger says next.
  const stored = new Map(wanted.map(({ path, object }) => [path, object.sha256]));
  const spoilt = new Set(wanted.filter(({ object }) => object.bucket === 'bytes').map(({ object }) => object.key));
  const fresh = new Set<RelPath>();
  const follow = async () => {
    await recorded.read((path) => {
      fresh.add(path);
      waiting.delete(path);
    });
  };
  let last: Snapshot | undefined;
  try {
    last = await waitUntilStored(uploader, waiting, follow, options);
  } finally {
    await uploader.close();
  }
  await follow();
  findings.newFiles = findings.newFiles.filter(({ path }) => !fresh.has(path));
  for (const path of waiting) outcome.reasons.set(path, reasonOf(path, last));
  await confirm(
    wanted.filter(({ path }) => !waiting.has(path)),
    { stored, spoilt },
    options.store,
    outcome,
  );
  recorded.markCurrent();
  return outcome;
}

/** Whether an upload pass would find something besides: it is nobody else's business where no agent runs. */
function hasMore({ newFiles, recorded }: Findings): boolean {
  return newFiles.length > 0 || !recorded.files.where(({ volume }) => volume === 'changed').next().done;
}

async function findUploader(
  wanted: readonly RecordedFile[],
  more: boolean,
  options: RepairOptions,
): Promise<Uploader | undefined> {
  const { config } = options;
  const running = await askAgent(config, '/api/status');
  if (running?.store.endpoint === config.endpoint && running.store.bucket === config.bucket) {
    // What is new or has changed it uploads by itself.
    if (wanted.length === 0) return undefined;
    const taken = await handOver(wanted, async (batch) => (await askForRepair(config, batch)) ?? 0);
    const snapshot = () => askAgent(config, '/api/status');
    // None: it serves another output directory.
    if (taken > 0) return { snapshot, isDone: () => true, close: async () => {} };
  }
  if (wanted.length === 0 && !more) return undefined;
  return await startUploader(wanted, options);
}

async function startUploader(
  wanted: readonly RecordedFile[],
  { config, log, volumeGate }: RepairOptions,
): Promise<Uploader> {
  const agent = new Agent({
    config,
    problems: [],
    log,
    clock: systemClock,
    hints: false,
    volumeGate,
    onUpload: () => {},
    onReady: () => {},
    onRequest: undefined,
    reasons: () => [],
  });
  let done = false;
  agent.start();
  await handOver(wanted, (batch) => agent.repair(batch));
  void agent.finishPass().then(() => {
    done = true;
  });
  return { snapshot: async () => agent.snapshot(), isDone: () => done, close: () => agent.close() };
}

/** Gives how many were taken. */
async function handOver(
  files: readonly RecordedFile[],
  take: (batch: readonly Repair[]) => Promise<number>,
): Promise<number> {
  let taken = 0;
  for (let at = 0; at < files.length; at += REPAIRS_AT_ONCE) {
    const batch = files.slice(at, at + REPAIRS_AT_ONCE);
    taken += await take(
      batch.map(({ path, object }) => ({ path, sha256: object.sha256, wide: object.bucket === 'bytes' })),
    );
  }
  return taken;
}

/** Resolves when nothing waits any more, or nothing moves; with the last that was heard of the agent. */
async function waitUntilStored(
  uploader: Uploader,
  waiting: ReadonlySet<RelPath>,
  follow: () => Promise<void>,
  { onProgress }: RepairOptions,
): Promise<Snapshot | undefined> {
  const total = waiting.size;
  let movedAt = systemClock.monotonic();
  let seen = '';
  for (;;) {
    const snapshot = await uploader.snapshot();
    await follow();
    onProgress({ what: 'uploading again', done: total - waiting.size, total });
    const { pendingFiles = 0, pendingBytes = 0, storedFiles = 0 } = snapshot?.totals ?? {};
    const now = systemClock.monotonic();
    const picture = `${waiting.size} ${pendingFiles} ${pendingBytes} ${storedFiles}`;
    if (picture !== seen) movedAt = now;
    seen = picture;
    // Asked before the ledger was read: what it no longer had then is in there, or nowhere.
    const isIdle = pendingFiles === 0 && uploader.isDone();
    if (isIdle || (waiting.size === 0 && uploader.isDone())) return snapshot;
    if (!snapshot || snapshot.state === 'failing' || now - movedAt > PATIENCE_MS) return snapshot;
    await systemClock.sleep(POLL_MS);
  }
}

/** For people: why a file wasn't sent. */
function reasonOf(path: RelPath, snapshot: Snapshot | undefined): string {
  const name = printable(path);
  const parked = snapshot?.parked.find((file) => file.path === name);
  if (parked) return explain({ message: parked.reason, fix: parked.fix });
  if (snapshot?.state === 'failing') return snapshot.reasons[0] ?? 'the store refuses';
  const pending = snapshot?.pending.find((file) => file.path === name);
  if (pending) return `not sent yet: ${pending.state}`;
  return snapshot ? 'not sent: it has changed, or is stored by now; verify again' : 'the agent has ended meanwhile';
}

/**
 * What the ledger got is looked for in the bucket. `stored` is what it said before, hex by path: a file that was written
 * again under its old size and time is told from those by its bytes alone. `spoilt` are keys that hold other bytes.
 */
async function confirm(
  files: readonly RecordedFile[],
  { stored, spoilt }: { stored: ReadonlyMap<RelPath, string>; spoilt: ReadonlySet<string> },
  store: Store,
  { repaired, reasons, overwritten }: MutableOutcome,
): Promise<void> {
  const queue = new PQueue({ concurrency: HEADS_AT_ONCE });
  await queue.addAll(
    files.map((file) => async () => {
      const { key, size, sha256 } = file.object;
      // Its metadata says what it should be, and a HEAD believes that; its bytes were read, and are others.
      if (spoilt.has(key)) {
        file.object.bucket = 'bytes';
        reasons.set(file.path, `the bucket holds other bytes under ${printable(key)}: move that object away`);
        return;
      }
      const head = await patiently(() => store.head(key), PATIENCE).catch(() => undefined);
      const isThere = head?.size === size && head.metadata.sha256 === sha256;
      file.object.bucket = isThere ? 'there' : 'missing';
      const row = { path: printable(file.path), key, bytes: size };
      if (sha256 !== stored.get(file.path)) overwritten.push(row);
      else if (isThere) repaired.push(row);
      if (!isThere) reasons.set(file.path, "uploaded again, but the bucket doesn't show it");
    }),
  );
}
