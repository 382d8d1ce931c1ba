// Invariant 3: what its writer hasn't finished stays where it is, however finished it looks; what is finished goes.
import {
  appendFileSync,
  closeSync,
  futimesSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { RunningAgent } from '../support/agent.ts';
import { until } from '../support/agent.ts';
import { makeFlac, makeMp4, makePngOfSize, noise } from '../support/media.ts';
import {
  type Bench,
  expectTrueObjects,
  inotifywaitIsInstalled,
  lastVersion,
  makeBench,
  NO_PROGRAMS,
  storedVersions,
  waits,
} from './bucket.ts';

let bench: Bench;
beforeEach(async () => {
  bench = await makeBench();
});
afterEach(() => bench.close());

const stored = (agent: RunningAgent, files: number) =>
  agent.until(({ totals }) => totals.storedFiles === files && totals.pendingFiles === 0, `${files} stored files`);

/** Waits until the agent has looked at a file that it was told of later: what it leaves alone, it leaves on purpose. */
async function markerArrives(path: string): Promise<void> {
  writeFileSync(bench.at(path), `${path}\n`);
  await until(() => lastVersion(bench.store, path) !== undefined, `${path} in the bucket`);
}

const SOURCES = [
  ['inotifywait, where it is installed', {}],
  ['@parcel/watcher', NO_PROGRAMS],
] as const;

describe.each(SOURCES)('invariant 3: a file that its writer has not closed stays (hints from %s)', (_, source) => {
  it('a PNG cut off in the middle is not uploaded; completed later, it is uploaded whole, once', async () => {
    const agent = await bench.start(source);
    const png = makePngOfSize(300_000);
    writeFileSync(bench.at('a.png'), png.subarray(0, 150_000));
    await agent.until((snapshot) => waits(snapshot, 'a.png', /format says/), 'the torn picture to be seen as torn');
    await markerArrives('marker.txt');
    expect(lastVersion(bench.store, 'a.png')).toBeUndefined();
    appendFileSync(bench.at('a.png'), png.subarray(150_000));
    await stored(agent, 2);
    expect(storedVersions(bench.store).get('a.png')).toEqual([png]);
    expectTrueObjects(bench.store);
  });

  it('a picture that never becomes whole claims its folder once, not again and again', async () => {
    const agent = await bench.start({ ...source, R2_LEASE_SECONDS: '6' });
    const changes = (folder: string) =>
      agent.lines().flatMap(({ lease, folder: name }) => (name === folder ? [lease] : []));
    mkdirSync(bench.at('torn'));
    writeFileSync(bench.at('torn/a.png'), makePngOfSize(30_000).subarray(0, 20_000));
    await until(() => changes('torn').includes('released'), 'the folder to be given back');
    // It is looked at every few seconds. Meanwhile another folder comes and goes.
    mkdirSync(bench.at('whole'));
    writeFileSync(bench.at('whole/b.png'), makePngOfSize(30_000));
    await until(() => changes('whole').includes('released'), 'the other folder to be given back');
    expect(changes('torn')).toEqual(['gained', 'released']);
    expect(waits(await agent.snapshot(), 'torn/a.png', /format says/)).toBe(true);
  });

  it('an MP4 that looks whole and stands still, as ffmpeg keeps it between prompts, waits for its close', async () => {
    const agent = await bench.start(source);
    const [early, late] = [makeMp4({ bytes: 200_000, seed: 1 }), makeMp4({ bytes: 300_000, seed: 2 })];
    const descriptor = openSync(bench.at('film.mp4'), 'w');
    writeSync(descriptor, early);
    // It was asked after several times, and all the while nothing was sent.
    await agent.until((snapshot) => waits(snapshot, 'film.mp4', /still has it open/), 'the writer to be seen');
    await agent.until(({ pending }) => (pending[0]?.seconds ?? 0) >= 3, 'time to pass');
    await markerArrives('marker.txt');
    expect(lastVersion(bench.store, 'film.mp4')).toBeUndefined();
    writeSync(descriptor, late, 0, late.length, 0);
    closeSync(descriptor);
    await stored(agent, 2);
    expect(storedVersions(bench.store).get('film.mp4')).toEqual([late]);
    expectTrueObjects(bench.store);
  });

  it('an MP4 written over seconds goes once, when it is closed', async () => {
    const agent = await bench.start(source);
    const film = makeMp4({ bytes: 12_000_000 });
    const [begun, whole] = [Buffer.from(film), film];
    // As ffmpeg leaves the media's size while it writes.
    begun.writeUInt32BE(0, begun.indexOf('mdat') - 4);
    const descriptor = openSync(bench.at('film.mp4'), 'w');
    for (let at = 0; at < begun.length; at += 1_000_000) {
      writeSync(descriptor, begun.subarray(at, at + 1_000_000));
      await pause(100);
    }
    writeSync(descriptor, whole, 0, whole.length, 0);
    closeSync(descriptor);
    await stored(agent, 1);
    expect(storedVersions(bench.store).get('film.mp4')).toEqual([whole]);
    expect(bench.store.requests.filter(({ operation }) => operation === 'CreateMultipartUpload')).toHaveLength(1);
    expectTrueObjects(bench.store);
  });

  it('an empty file is shown and left; filled later, it is uploaded', async () => {
    const agent = await bench.start(source);
    writeFileSync(bench.at('empty.png'), '');
    writeFileSync(bench.at('empty.txt'), '');
    const shown = await agent.until(({ skipped }) => skipped.empty === 2, 'the empty files to be shown');
    // They keep nobody from stopping the pod.
    expect(shown.totals.pendingFiles).toBe(0);
    expect(bench.store.requests).toEqual([]);
    const png = makePngOfSize(1000);
    writeFileSync(bench.at('empty.png'), png);
    await stored(agent, 1);
    expect(storedVersions(bench.store)).toEqual(new Map([['empty.png', [png]]]));
    expect((await agent.snapshot()).skipped).toEqual({ empty: 1 });
  });
});

describe('invariant 3 where writers are out of sight (R2_WRITERS=remote)', () => {
  const remote = { R2_WRITERS: 'remote', R2_QUIET_SECONDS: '0.2' };

  it.runIf(inotifywaitIsInstalled)(
    'half a FLAC never leaves: its open was heard, so its close is waited for',
    async () => {
      const agent = await bench.start(remote);
      await until(() => agent.log().includes('with inotifywait'), 'inotifywait');
      const flac = makeFlac({ bytes: 400_000 });
      const descriptor = openSync(bench.at('sound.flac'), 'w');
      writeSync(descriptor, flac.subarray(0, 200_000));
      // The sound is quiet for longer than any file needs: one that came after it has been through all of it.
      await agent.until((snapshot) => waits(snapshot, 'sound.flac', /has not closed it/), 'the open to be heard');
      await markerArrives('marker.txt');
      await markerArrives('marker2.txt');
      expect(lastVersion(bench.store, 'sound.flac')).toBeUndefined();
      writeSync(descriptor, flac.subarray(200_000));
      closeSync(descriptor);
      await stored(agent, 3);
      expect(storedVersions(bench.store).get('sound.flac')).toEqual([flac]);
    },
  );

  it('a PNG cut off in the middle waits for its rest, whoever writes it', async () => {
    const agent = await bench.start({ ...remote, ...NO_PROGRAMS });
    const png = makePngOfSize(300_000);
    writeFileSync(bench.at('a.png'), png.subarray(0, 299_000));
    await agent.until((snapshot) => waits(snapshot, 'a.png', /format says/), 'the torn picture to be seen as torn');
    await markerArrives('marker.txt');
    appendFileSync(bench.at('a.png'), png.subarray(299_000));
    await stored(agent, 2);
    expect(storedVersions(bench.store).get('a.png')).toEqual([png]);
  });

  it('what is quiet for long enough goes without a close', async () => {
    const agent = await bench.start({ ...remote, ...NO_PROGRAMS });
    const descriptor = openSync(bench.at('sound.flac'), 'w');
    const flac = makeFlac({ bytes: 10_000 });
    writeSync(descriptor, flac);
    await stored(agent, 1);
    closeSync(descriptor);
    expect(storedVersions(bench.store).get('sound.flac')).toEqual([flac]);
  });
});

describe('a change that leaves no trace in size and mtime', () => {
  it.runIf(inotifywaitIsInstalled).each([
    ['after a close', 'a.txt'],
    ['after a rename over it', 'a.txt.tmp'],
  ])('is found by its hash %s', async (_, writtenAs) => {
    const agent = await bench.start();
    await until(() => agent.log().includes('with inotifywait'), 'inotifywait');
    const versions = [noise(5000, 1), noise(5000, 2)];
    for (const [nth, bytes] of versions.entries()) {
      const descriptor = openSync(bench.at(writtenAs), 'w');
      writeSync(descriptor, bytes);
      futimesSync(descriptor, 1_700_000_000, 1_700_000_000);
      closeSync(descriptor);
      renameSync(bench.at(writtenAs), bench.at('a.txt'));
      await until(() => storedVersions(bench.store).get('a.txt')?.length === nth + 1, `version ${nth}`);
      await stored(agent, 1);
    }
    expect(storedVersions(bench.store).get('a.txt')).toEqual(versions);
  });
});

describe('a volume that keeps whole seconds, and shows the time of the last write late', () => {
  const SECOND = 1_700_000_000;

  it('a file whose time alone moves is compared at once, and known to every later agent without reading', async () => {
    writeFileSync(bench.at('a.png'), makePngOfSize(5000, 1));
    utimesSync(bench.at('a.png'), SECOND, SECOND);
    const agent = await bench.start();
    await stored(agent, 1);
    utimesSync(bench.at('a.png'), SECOND + 1, SECOND + 1);
    await until(() => ledgerLines().length === 2, 'a second line in the ledger');
    const [first, second] = ledgerLines();
    expect(second).toEqual({ ...first, mtimeNs: `${SECOND + 1}000000000`, key: undefined });
    await stored(agent, 1);
    expect(await agent.stop()).toBe(0);
    const again = await bench.start();
    await stored(again, 1);
    expect(await again.stop()).toBe(0);
    expect(ledgerLines()).toHaveLength(2);
    expect(bench.store.requests.filter(({ operation }) => operation === 'PutObject')).toHaveLength(1);
  });

  it('one that is rewritten goes at most once a minute all the same', async () => {
    writeFileSync(bench.at('a.png'), makePngOfSize(5000, 1));
    utimesSync(bench.at('a.png'), SECOND, SECOND);
    const agent = await bench.start();
    await stored(agent, 1);
    writeFileSync(bench.at('a.png'), makePngOfSize(5000, 2));
    utimesSync(bench.at('a.png'), SECOND + 1, SECOND + 1);
    await agent.until(({ pending }) => /less than a minute ago/.test(pending[0]?.state ?? ''), 'it to wait');
    expect(storedVersions(bench.store).get('a.png')).toHaveLength(1);
    // Told to stop it doesn't wait.
    expect(await agent.stop()).toBe(0);
    expect(storedVersions(bench.store).get('a.png')).toHaveLength(2);
  });

  function ledgerLines(): Record<string, unknown>[] {
    const state = bench.at('.r2-sync');
    const files = readdirSync(state, { recursive: true, encoding: 'utf8' }).filter((name) =>
      /ledger\..*jsonl$/.test(name),
    );
    const lines = files.flatMap((name) => readFileSync(join(state, name), 'utf8').split('\n'));
    return lines.filter((line) => line !== '').map((line) => JSON.parse(line));
  }
});

/** A writer's own pace. */
function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
