// A process that claims the epochs that it is told on its standard input, and says how each claim ended.
import { createInterface } from 'node:readline';
import { LeaseFiles } from '../../../src/lease/files.ts';
import { fileIo } from '../../../src/ledger/io.ts';
import { identifyProcess } from '../../../src/process-identity.ts';

const nonce = `child-${process.pid}`;
const files = new LeaseFiles(fileIo, process.argv[2]!, {
  folder: 'alice',
  host: 'h',
  agent: '1.0.0',
  nonce,
  process: identifyProcess(nonce),
});
for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${await files.claim(Number(line), Date.now())}\n`);
}
