// Many files at once: what a batch run leaves behind in a moment. The files are written beforehand beside the watched
// directory and moved into it: written in place, they come no faster than the disk takes them, and a row of contenders
// that all wait for the same disk says nothing about them.
import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { pause } from './clock.ts';
import type { Contender } from './contender.ts';
import { readCpuMs } from './process-tree.ts';
import type { Metric, Place } from './row.ts';
import { makeSample, moveSample, PICTURE_BYTES, type StagedSample, writeSample, writeVideo } from './samples.ts';
import { awaitStored, measureCost, warmUp, withSession } from './session.ts';
import { countStoredTwice } from './store.ts';

interface Bulk {
  files: number;
  /** Of each file; 2 MB if not given. */
  bytes?: number;
  /** The files are spread over so many folders, which are there before the contender starts; 0: none. */
  folders?: number;
  kind?: 'picture' | 'video';
}

type BulkFigures = Record<'rate' | 'megabytes' | 'cpu' | 'peak' | 'requests' | 'twice' | 'lost' | 'storeCpu', number>;

/** What a row over a bulk may show. */
export const bulkMetrics = {
  rate: { label: 'files per second', unit: '/s', digits: 1, rounds: 'median' },
  megabytes: { label: 'MB per second', unit: 'MB/s', digits: 0, rounds: 'median' },
  cpu: { label: 'CPU per file', unit: 'ms', digits: 2, rounds: 'median' },
  peak: { label: 'peak memory', unit: 'MiB', digits: 0, rounds: 'worst' },
  requests: { label: 'requests per file', unit: '', digits: 2, rounds: 'median' },
  twice: { label: 'sent again', unit: 'files', digits: 0, rounds: 'worst' },
  lost: { label: 'lost', unit: 'files', digits: 0, rounds: 'worst' },
  storeCpu: { label: "the store's own CPU per file", unit: 'ms', digits: 2, rounds: 'median' },
} as const satisfies Record<string, Metric>;

/** What comes after the last file (a ledger's fsync, a closing connection) counts, too. */
const AFTERMATH_MS = 1000;

/** From the first file to the last object, and what it costs. Contenders that work in passes do so without a pause. */
export function runBulk(contender: Contender, place: Place, bulk: Bulk): Promise<BulkFigures> {
  return withSession(place, async (session) => {
    const { store } = session;
    const staged = stage(session.stage.scratch, bulk);
    for (let folder = 0; folder < (bulk.folders ?? 0); folder += 1) mkdirSync(join(session.dir, `folder${folder}`));
    const { child } = await session.start(contender, 0);
    const first = await warmUp(session);
    const before = (await store.requests()).length;
    const storeCpuMs = readCpuMs(store.child.pid);
    const cost = measureCost(child.pid);
    const written = staged.map((file) => moveSample(file, join(session.dir, file.target)));
    const arrived = await awaitStored(store, written);
    await pause(AFTERMATH_MS);
    const { cpuMs, peakMib } = cost.stop();
    const storeCpu = (readCpuMs(store.child.pid) - storeCpuMs) / written.length;
    const requests = await store.requests();
    const seconds = (Math.max(...arrived.values()) - written[0]!.closedAt) / 1000;
    return {
      rate: arrived.size / seconds,
      megabytes: (arrived.size * written[0]!.size) / 1e6 / seconds,
      cpu: cpuMs / written.length,
      peak: peakMib,
      requests: (requests.length - before) / written.length,
      twice: countStoredTwice(requests, first.length + arrived.size),
      lost: written.length - arrived.size,
      storeCpu,
    };
  });
}

/** Writes the files where nobody watches, and through to the disk, so that this isn't going on behind the row's back. */
function stage(directory: string, bulk: Bulk): (StagedSample & { target: string })[] {
  const { files, bytes = PICTURE_BYTES, folders = 0, kind = 'picture' } = bulk;
  const staging = join(directory, 'staging');
  mkdirSync(staging);
  const staged = Array.from({ length: files }, (_, index) => {
    const name = kind === 'video' ? `video-${index}.mp4` : `picture-${index}.png`;
    const path = join(staging, name);
    const target = folders === 0 ? name : join(`folder${index % folders}`, name);
    // Videos of different bytes: they differ in length.
    const written =
      kind === 'video' ? writeVideo(path, bytes + index) : writeSample(path, makeSample(100 + index, bytes));
    return { path, target, ...written };
  });
  execFileSync('sync', ['-f', staging]);
  return staged;
}
