// Loaded into an agent by `node --require` (a worker whose code is given as text gets no `--import`), in its main thread
// and in its workers: its disk fails, its clock steps, its loop stands still and it dies, all as the torture says
// (control.ts). The agent's code knows nothing of it.
import { isMainThread } from 'node:worker_threads';
import { orders, report, standStill, trueNow } from './orders.ts';
import { patchFileCalls } from './patch.ts';

const LOOK_MS = 10;

shiftClock();
patchFileCalls();
if (isMainThread) blockWhenTold();

function shiftClock(): void {
  const now = () => trueNow() + orders().clockOffsetMs;
  Date.now = now;
  globalThis.Date = new Proxy(Date, {
    construct: (target, args, caller) => Reflect.construct(target, args.length === 0 ? [now()] : args, caller),
    apply: () => new Date().toString(),
  });
}

function blockWhenTold(): void {
  let last: number | undefined;
  setInterval(() => {
    const { block } = orders();
    if (block === null || block.id === last) return;
    last = block.id;
    report({ is: 'blocked', effect: 'state', call: '', path: '', detail: `${block.ms} ms` });
    standStill(block.ms);
  }, LOOK_MS).unref();
}
