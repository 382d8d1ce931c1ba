// A directory of files that are all in the ledger already, as a long history leaves it. The lines come from the agent's
// own Ledger: sending 100,000 files through the store first would take minutes and end in the same lines.
import { mkdirSync, statSync } from 'node:fs';
import * as fs from 'node:fs/promises';
import { join } from 'node:path';
import { systemClock } from '../../src/clock.ts';
import { Ledger, type LedgerFact } from '../../src/ledger/ledger.ts';
import { locateState } from '../../src/ledger/location.ts';
import { createLog } from '../../src/log.ts';
import type { Stage } from './contender.ts';
import { makeSample, writeSample } from './samples.ts';

const FILES_PER_FOLDER = 1000;
const FILE_BYTES = 1024;
/** What was stored a moment ago is looked at more often; a long history wasn't. */
const STORED_AGO_MS = 24 * 3600 * 1000;

/** Writes `count` small PNGs into folders of 1,000, and a ledger that says that all of them are stored. */
export async function makeStoredFiles(stage: Stage, count: number): Promise<void> {
  const { targetDir } = await locateState(fs, {
    outputDir: stage.dir,
    endpointHost: new URL(stage.endpoint).host,
    bucket: stage.bucket,
  });
  const ledger = await Ledger.open({ targetDir, log: createLog({ level: 'warn', secrets: [] }), clock: systemClock });
  for (let folder = 0; folder * FILES_PER_FOLDER < count; folder += 1) {
    const name = `folder${folder}`;
    mkdirSync(join(stage.dir, name));
    const first = folder * FILES_PER_FOLDER;
    const facts: Promise<void>[] = [];
    for (let index = first; index < Math.min(first + FILES_PER_FOLDER, count); index += 1)
      facts.push(ledger.record(writeStoredFile(stage.dir, `${name}/picture-${index}`, index)));
    await Promise.all(facts);
  }
  const { trouble } = ledger;
  await ledger.close();
  if (trouble !== undefined) throw new Error(`the ledger for the row couldn't be written: ${trouble}`);
}

function writeStoredFile(dir: string, stem: string, index: number): LedgerFact {
  const path = `${stem}.png`;
  const sample = makeSample(index, FILE_BYTES);
  writeSample(join(dir, path), sample);
  return {
    path,
    size: sample.size,
    mtimeNs: statSync(join(dir, path), { bigint: true }).mtimeNs,
    sha256: sample.sha256,
    key: `outputs/${stem}-${sample.sha256.slice(0, 16)}.png`,
    storedAt: Date.now() - STORED_AGO_MS,
    incomplete: false,
  };
}
