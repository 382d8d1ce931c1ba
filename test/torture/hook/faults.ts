// Whether a disk fault strikes a call, and what it does to it.
import { constants } from 'node:os';
import { getSystemErrorMap } from 'node:util';
import type { DiskFault } from './control.ts';
import { type Call, kindOf } from './effects.ts';
import { orders, reportStrike, standStill } from './orders.ts';

const POLL_MS = 10;

function strikes({ where, calls, share }: DiskFault, call: Call): boolean {
  const place = kindOf(call.path) === 'output' ? 'output' : 'state';
  const kind = call.changes ? 'changes' : 'reads';
  return (where === 'all' || where === place) && (calls === 'all' || calls === kind) && Math.random() < share;
}

/** Struck by a hang: whether it goes on. */
function stillHangs(call: Call): boolean {
  return orders().disk.some((fault) => 'hang' in fault.what && strikes({ ...fault, share: 1 }, call));
}

function* faultsOf(call: Call): Generator<DiskFault['what']> {
  for (const fault of orders().disk) {
    if (!strikes(fault, call)) continue;
    reportStrike(kindOf(call.path), call.name, call.path, JSON.stringify(fault.what));
    yield fault.what;
  }
}

/** Does to an asynchronous call what the orders say. Rejects with the system's error. */
export async function suffer(call: Call, writeHalf: (() => void) | undefined): Promise<void> {
  for (const what of faultsOf(call)) {
    if ('delayMs' in what) await pause(what.delayMs);
    else if ('hang' in what) while (stillHangs(call)) await pause(POLL_MS);
    else fail(what, call, writeHalf);
  }
}

/** The same for a synchronous call: the thread stands still. */
export function sufferSync(call: Call): void {
  for (const what of faultsOf(call)) {
    if ('delayMs' in what) standStill(what.delayMs);
    else if ('hang' in what) while (stillHangs(call)) standStill(POLL_MS);
    else fail(what, call, undefined);
  }
}

function fail(
  what: Extract<DiskFault['what'], { error: string } | { half: string } | { gone: true }>,
  call: Call,
  writeHalf: (() => void) | undefined,
): never {
  if ('half' in what) writeHalf?.();
  throw systemError('error' in what ? what.error : 'half' in what ? what.half : call.open ? 'ESTALE' : 'ENOENT', call);
}

function systemError(code: string, { name, path }: Call): Error {
  const errno = -constants.errno[code as keyof typeof constants.errno];
  const says = getSystemErrorMap().get(errno)?.[1] ?? 'error';
  return Object.assign(new Error(`${code}: ${says}, ${name} '${path}'`), { errno, code, syscall: name, path });
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
