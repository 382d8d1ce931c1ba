// A process that begins an upload, notes it, and stays until it is killed. Usage: journal-child.ts TARGET_DIR
import * as fs from 'node:fs/promises';
import { systemClock } from '../../src/clock.ts';
import { createLog } from '../../src/log.ts';
import { MultipartJournal } from '../../src/upload/multipart-journal.ts';
import { scriptStore } from './script-store.ts';

const targetDir = process.argv[2]!;
const log = createLog({ level: 'silent', secrets: [] });
const journal = new MultipartJournal({ targetDir, fs, store: scriptStore({}), clock: systemClock, log, pod: 'child' });
void journal.during('outputs/child.mp4', (onUploadId) => {
  onUploadId('upload-of-child');
  return new Promise(() => {});
});
setInterval(() => {}, 60_000);
