// Runs a command in a pseudo-terminal, as somebody would who is logged in to the pod, and shows its screen as a page.
import { spawn } from 'node:child_process';
import { until } from '../../test/support/agent.ts';
import { Screen } from './screen.ts';

const COLUMNS = 92;

export interface Terminal {
  /** Resolves once its screen is as wished; what it shows then. */
  until(wish: (text: string) => boolean, what: string): Promise<Shot>;
  /** Resolves with the last screen when the command has ended by itself. */
  ended: Promise<Shot>;
  /** Ctrl-C. */
  interrupt(): void;
}

/** A screen at one moment. */
export interface Shot {
  command: string;
  html: string;
}

/** `r2-sync` with these arguments, in a window of so many rows. */
export function openTerminal(file: string, args: readonly string[], env: NodeJS.ProcessEnv, rows = 45): Terminal {
  const quoted = [process.execPath, file, ...args].map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(' ');
  const command = `stty cols ${COLUMNS} rows ${rows}; exec ${quoted}`;
  const child = spawn('script', ['--quiet', '--flush', '--return', '--command', command, '/dev/null'], {
    env: { ...env, TERM: 'xterm-256color', COLORTERM: 'truecolor', FORCE_COLOR: '1', SHELL: '/bin/sh' },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const screen = new Screen(COLUMNS, rows);
  child.stdout.setEncoding('utf8').on('data', (text: string) => screen.write(text));
  const shoot = (): Shot => ({ command: `r2-sync ${args.join(' ')}`, html: screen.html() });
  const ended = new Promise<Shot>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', () => resolve(shoot()));
  });
  return {
    ended,
    until: async (wish, what) => {
      await until(() => wish(screen.text()), what);
      return shoot();
    },
    interrupt: () => void child.stdin.write('\x03'),
  };
}

/** A window with one shot below the other. */
export function terminalPage(shots: readonly Shot[]): string {
  const parts = shots.map(({ command, html }) => `<span class="prompt">$</span> <b>${command}</b>\n${html}`);
  return `<!doctype html><meta charset="utf-8"><style>
body { margin: 0; padding: 16px; background: transparent; width: max-content; }
main { background: #14171d; border: 1px solid #323843; border-radius: 10px; overflow: hidden; }
header { display: flex; gap: 8px; padding: 12px 14px 0; }
header i { width: 11px; height: 11px; border-radius: 50%; background: #3a414d; }
pre { margin: 0; padding: 14px 18px 18px; min-width: ${COLUMNS}ch; color: #d7dae0;
  font: 14px/1.42 'DejaVu Sans Mono', 'Liberation Mono', monospace; }
.prompt { color: #6fd08c; }
</style><main><header><i></i><i></i><i></i></header><pre>${parts.join('\n\n')}</pre></main>`;
}
