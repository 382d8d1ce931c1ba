// `r2-sync wait`: returns when nothing is pending. The answer to "may I stop the pod now?", for scripts and people.
import { systemClock } from '../clock.ts';
import { ExitCode } from '../errors.ts';
import { askAgent } from '../status/client.ts';
import { headline } from '../status/render.ts';
import type { Snapshot } from '../status/snapshot.ts';
import { printJson } from './output.ts';
import { loadSettings } from './settings.ts';
import { surveyWithoutAgent } from './status.ts';

const POLL_MS = 500;

export async function wait(options: { json: boolean; timeout?: number }): Promise<ExitCode> {
  const settings = loadSettings(false).partial;
  const deadline = systemClock.monotonic() + (options.timeout ?? Number.POSITIVE_INFINITY) * 1000;
  let said = '';
  // The first look is a scan of its own: the file that was written a moment ago counts.
  for (let path: '/api/scan' | '/api/status' = '/api/scan'; ; path = '/api/status') {
    const snapshot = (await askAgent(settings, path)) ?? (await surveyWithoutAgent());
    const code = verdictOf(snapshot);
    if (code !== undefined || systemClock.monotonic() >= deadline) {
      if (options.json) printJson(snapshot);
      else console.log(headline(snapshot));
      return code ?? ExitCode.left;
    }
    const text = headline(snapshot);
    if (text !== said && !options.json) console.error(text);
    said = text;
    await systemClock.sleep(Math.min(POLL_MS, deadline - systemClock.monotonic()));
  }
}

/** undefined: it is worth waiting. */
function verdictOf(snapshot: Snapshot): ExitCode | undefined {
  if (snapshot.safeToStop) return ExitCode.done;
  if (snapshot.state === 'failing') return ExitCode.refused;
  // Nothing moves by itself any more: no agent runs, or what is left is parked.
  if (snapshot.pod === '') return ExitCode.left;
  return snapshot.totals.pendingFiles === 0 && snapshot.totals.parkedFiles > 0 ? ExitCode.left : undefined;
}
