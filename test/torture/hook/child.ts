// A program like the agent, for the hook's test: calls on request, in the main thread asynchronous ones, and synchronous
// ones in a worker whose code is given as text.
import * as fs from 'node:fs/promises';
import { Worker } from 'node:worker_threads';

export interface Command {
  id: number;
  thread: 'main' | 'worker';
  /** Of node:fs/promises or, in the worker, of node:fs; or one of those below. */
  call: string;
  args: string[];
}

export interface Answer {
  id: number;
  value?: unknown;
  error?: string;
}

const worker = new Worker(
  `const fs = require('node:fs');
   const { parentPort } = require('node:worker_threads');
   const more = { dateNow: () => Date.now(), newDate: () => new Date().getTime() };
   parentPort.on('message', ({ id, call, args }) => {
     try {
       parentPort.postMessage({ id, value: JSON.stringify((more[call] ?? fs[call])(...args)) });
     } catch (error) {
       parentPort.postMessage({ id, error: error.code ?? String(error) });
     }
   });`,
  { eval: true },
);
worker.on('message', answer);

let held: fs.FileHandle | undefined;
let longestGap = 0;
let lastTick = performance.now();
setInterval(() => {
  longestGap = Math.max(longestGap, performance.now() - lastTick);
  lastTick = performance.now();
}, 5);

const more: Record<string, (...args: string[]) => unknown> = {
  hold: async (path) => {
    held = await fs.open(path!, 'a');
  },
  appendHeld: (text) => held!.appendFile(text!),
  dateNow: () => Date.now(),
  newDate: () => Date.parse(new Date().toISOString()),
  calledDate: () => Date.parse((Date as unknown as () => string)()),
  epoch: () => new Date(0).getTime(),
  monotonic: () => performance.timeOrigin + performance.now(),
  longestGap: () => longestGap,
};

process.on('message', async (command: Command) => {
  const { id, thread, call, args } = command;
  if (thread === 'worker') return worker.postMessage(command);
  try {
    const make = more[call] ?? (fs as unknown as Record<string, (...args: string[]) => unknown>)[call]!;
    answer({ id, value: JSON.stringify(await make(...args)) });
  } catch (error) {
    answer({ id, error: (error as NodeJS.ErrnoException).code ?? String(error) });
  }
});

function answer(message: Answer): void {
  process.send!(message);
}
