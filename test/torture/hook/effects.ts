// What is an effect, of which kind, and at which one the process dies.
import { type Control, type EffectKind, placeOf } from './control.ts';
import { orders, report, standStill } from './orders.ts';

/** A call on the volume. */
export interface Call {
  /** As in node:fs, without `Sync`. */
  name: string;
  /** The one that is changed, or read. */
  path: string;
  /** Whether it changes anything. */
  changes: boolean;
  /** It goes by a file that is open already. */
  open: boolean;
  /** What it writes. */
  bytes?: number;
}

/** The path as a string if it is on the volume. */
export function onVolume(path: unknown): string | undefined {
  if (typeof path !== 'string' && !Buffer.isBuffer(path)) return undefined;
  const text = path.toString();
  const { root } = orders();
  return text === root || text.startsWith(`${root}/`) ? text : undefined;
}

export function kindOf(path: string): EffectKind {
  const below = `${path.slice(orders().root.length)}/`;
  if (!below.includes('/.r2-sync/')) return 'output';
  if (below.includes('/~uploads/')) return 'journal';
  const name = path.slice(path.lastIndexOf('/') + 1);
  if (/^(?:ledger\..*\.jsonl|compact\..*\.tmp)/.test(name)) return 'ledger';
  if (/^(?:(?:lease|beat)\..*\.json|claim\..*\.tmp)/.test(name)) return 'lease';
  return 'state';
}

let order: Control['dieAt'] = null;
let seen = 0;

/**
 * To be called before a call is made. Dies if it is its turn; else gives what is to be called when it is done.
 * @param writeHalf does the call with half of its bytes
 */
export function passEffect(call: Call, writeHalf: (() => void) | undefined): () => void {
  if (!call.changes) return nothing;
  const { dieAt, logEffects } = orders();
  const effect = kindOf(call.path);
  if (logEffects)
    report({ is: 'effect', effect, call: call.name, path: call.path, detail: call.bytes ? `${call.bytes} bytes` : '' });
  if (dieAt?.id !== order?.id) {
    order = dieAt;
    seen = 0;
  }
  if (!order || !isMeant(order, call, effect)) return nothing;
  seen += 1;
  if (seen !== order.nth) return nothing;
  if (order.when === 'before') die(call, 'before');
  if (order.when === 'half' && writeHalf) {
    writeHalf();
    die(call, 'half');
  }
  return () => die(call, 'after');
}

function isMeant({ effect, only }: NonNullable<Control['dieAt']>, call: Call, kind: EffectKind): boolean {
  if (effect !== 'any' && effect !== kind) return false;
  return only === undefined || (only.call === call.name && only.place === placeOf(orders().root, call.path));
}

function die(call: Call, when: string): never {
  report({ is: 'died', effect: kindOf(call.path), call: call.name, path: call.path, detail: when });
  process.kill(process.pid, 'SIGKILL');
  for (;;) standStill(1000);
}

function nothing(): void {}
