// Opens twenty FIFOs that nobody writes to, then looks a name up and reads a file; says what has answered, in order.
// Usage: hung-child.ts gate|plain DIRECTORY
import { lookup } from 'node:dns/promises';
import * as plain from 'node:fs/promises';
import { systemClock } from '../../src/clock.ts';
import { VolumeGate } from '../../src/volume/gate.ts';

const [way, directory] = process.argv.slice(2);
const fs = way === 'gate' ? new VolumeGate(systemClock).fs : plain;
for (let nth = 0; nth < 20; nth += 1) {
  void fs.open(`${directory}/fifo${nth}`).then((handle) => {
    console.log('open');
    return handle.close();
  });
}
void lookup('localhost').then(() => console.log('look-up'));
void plain.readFile(`${directory}/file`).then(() => console.log('file'));
console.log('begun');
