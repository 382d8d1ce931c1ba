// `r2-sync top`, which is `r2-sync status --watch`: the picture of the status page in a terminal, for SSH.
import { styleText } from 'node:util';
import { systemClock } from '../clock.ts';
import { ExitCode, UserError } from '../errors.ts';
import { printable } from '../paths.ts';
import { agentUrl, askAgent } from '../status/client.ts';
import { type Pace, PaceMeter } from '../status/pace.ts';
import { renderScreen } from '../status/screen.ts';
import type { Snapshot } from '../status/snapshot.ts';
import { clip, wrap } from '../status/terminal.ts';
import { wantsColor } from './output.ts';
import { loadSettings } from './settings.ts';
import { openWindow } from './window.ts';

const REFRESH_MS = 1000;

/** What there is to show: the agent's state, or why there is none and what to do. */
type View = { snapshot: Snapshot; pace: Pace } | { trouble: string; fix: string };

export async function top(): Promise<ExitCode> {
  requireTerminal();
  const meter = new PaceMeter();
  let view: View | undefined;
  const draw = () => {
    if (view) window.draw(renderView(view, window.size()));
  };
  const window = openWindow(draw);
  try {
    while (!window.closed.aborted) {
      const asked = look(meter).then((seen) => {
        view = seen;
      });
      // An agent that doesn't answer holds up nobody who wants to leave.
      await Promise.race([asked, aborted(window.closed)]);
      if (window.closed.aborted) break;
      draw();
      await systemClock.sleep(REFRESH_MS, window.closed);
    }
  } finally {
    window.close();
  }
  return ExitCode.done;
}

function requireTerminal(): void {
  if (process.stdout.isTTY && process.env.TERM !== 'dumb') return;
  throw new UserError(
    'there is no terminal to draw on',
    'Over SSH ask for one: `ssh -t HOST r2-sync top`. For a script there is `r2-sync status --json`.',
    ExitCode.usage,
  );
}

/** Settings are read each time: they may be put right meanwhile. */
async function look(meter: PaceMeter): Promise<View> {
  try {
    const settings = loadSettings(false).partial;
    const snapshot = await askAgent(settings, '/api/status');
    if (snapshot) return { snapshot, pace: meter.observe(snapshot, systemClock.monotonic()) };
    const where =
      settings.statusPort === 0 ? 'R2_STATUS_PORT is 0' : agentUrl(settings.statusHost, settings.statusPort);
    return {
      trouble: `No agent answers here (${where}): nothing is uploaded by this pod, as far as can be told.`,
      fix: 'Start one with `r2-sync run`. What ledger and volume say without it: `r2-sync status`. This is asked again every second.',
    };
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return { trouble: error.message, fix: error.fix };
  }
}

function renderView(view: View, { width, height }: { width: number; height: number }): string[] {
  const color = wantsColor();
  if ('snapshot' in view)
    return renderScreen(view.snapshot, { color, width, height, now: systemClock.wall(), pace: view.pace });
  const red = (line: string) => (color ? styleText('red', line, { validateStream: false }) : line);
  const lines = [...wrap(printable(view.trouble), width).map(red), '', ...wrap(printable(view.fix), width)];
  return [...lines, '', 'q quits'].slice(0, height).map((line) => (color ? line : clip(line, width)));
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
