// What the hook was told, looked up in its file at most every few milliseconds, and what it says. Loaded before anything is
// patched: it keeps the true file calls, and the true clock.
import fs from 'node:fs';
import { type Control, type EffectKind, type HookReport, reportFile } from './control.ts';

const LOOK_MS = 4;
/** The same strike again is reported after so long. */
const REPEAT_MS = 200;

export const trueFs = { ...fs };
export const trueNow: () => number = Date.now;

const file = process.env.TORTURE_CONTROL;
if (file === undefined) throw new Error('the agent hook needs TORTURE_CONTROL');
const reports = trueFs.openSync(reportFile(file), 'a');

let text = '';
let control: Control;
let lookedAt = Number.NEGATIVE_INFINITY;

export function orders(): Control {
  const now = performance.now();
  if (now - lookedAt < LOOK_MS) return control;
  lookedAt = now;
  const found = trueFs.readFileSync(file!, 'utf8');
  if (found !== text) control = JSON.parse(found);
  text = found;
  return control;
}

export function report(line: Omit<HookReport, 'at'>): void {
  const at = performance.timeOrigin + performance.now();
  trueFs.writeSync(reports, `${JSON.stringify({ at, ...line })}\n`);
}

const struckAt = new Map<string, number>();

export function reportStrike(effect: EffectKind, call: string, path: string, detail: string): void {
  const kind = `${effect} ${call} ${detail}`;
  const now = performance.now();
  if (now - (struckAt.get(kind) ?? Number.NEGATIVE_INFINITY) < REPEAT_MS) return;
  struckAt.set(kind, now);
  report({ is: 'struck', effect, call, path, detail });
}

const standing = new Int32Array(new SharedArrayBuffer(4));

/** Stops this thread: ms. */
export function standStill(ms: number): void {
  Atomics.wait(standing, 0, 0, ms);
}
