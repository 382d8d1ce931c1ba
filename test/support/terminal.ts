// A real terminal for tests: a pseudo-terminal that Python opens (its module `pty`), with a window whose size can be
// changed, keys that can be pressed, and a look at what is left of its settings afterwards.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import type { Writable } from 'node:stream';
import { until } from './agent.ts';

/** Commands on descriptor 3: `size COLUMNS ROWS`, `signal NUMBER`. The last line of standard error is the end, as JSON. */
const HELPER = `
import fcntl, json, os, pty, select, signal, struct, sys, termios
def resize(fd, columns, rows):
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack('HHHH', rows, columns, 0, 0))
columns, rows = int(sys.argv[1]), int(sys.argv[2])
master, slave = pty.openpty()
resize(slave, columns, rows)
before = termios.tcgetattr(slave)
pid = os.fork()
if pid == 0:
    os.close(master)
    os.close(3)
    os.setsid()
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
    for fd in (0, 1, 2):
        os.dup2(slave, fd)
    os.execvp(sys.argv[3], sys.argv[3:])
status = None
sources = [0, 3, master]
while True:
    if status is None:
        ended, state = os.waitpid(pid, os.WNOHANG)
        if ended:
            status = state
    ready = select.select(sources, [], [], 0.05)[0]
    if status is not None and master not in ready:
        break
    for fd in ready:
        data = os.read(fd, 65536)
        if not data:
            sources.remove(fd)
        elif fd == master:
            os.write(1, data)
        elif fd == 0:
            os.write(master, data)
        else:
            for line in data.decode().splitlines():
                word, *numbers = line.split()
                if word == 'size':
                    resize(master, int(numbers[0]), int(numbers[1]))
                else:
                    os.kill(pid, int(numbers[0]))
code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else -os.WTERMSIG(status)
sys.stderr.write(json.dumps({'code': code, 'sane': termios.tcgetattr(slave) == before}))
`;

export const canOpenTerminal = spawnSync('python3', ['-c', 'import pty, termios']).status === 0;

export interface Terminal {
  /** Everything that was written to it so far. */
  output(): string;
  /** The lines of the picture that was drawn last, without colours. */
  screen(): string[];
  /** Waits until the picture is as wished. */
  until(wish: (screen: string) => boolean, what: string): Promise<void>;
  press(keys: string): void;
  resize(columns: number, rows: number): void;
  signal(number: number): void;
  /** The exit code (negative: the signal's number), and whether the terminal's settings are as before. */
  readonly ended: Promise<{ code: number; sane: boolean }>;
  kill(): void;
}

export function openTerminal(
  command: readonly string[],
  env: NodeJS.ProcessEnv,
  columns: number,
  rows: number,
): Terminal {
  const args = ['-c', HELPER, String(columns), String(rows), ...command];
  const child: ChildProcess = spawn('python3', args, { env, stdio: ['pipe', 'pipe', 'pipe', 'pipe'] });
  const control = child.stdio[3] as Writable;
  let output = '';
  let told = '';
  child.stdout!.setEncoding('utf8').on('data', (text: string) => (output += text));
  child.stderr!.on('data', (chunk: Buffer) => (told += chunk));
  const screen = () => {
    // Each picture begins at home.
    const last = output.split('\u001b[H').at(-1)!;
    return last
      .split('\u001b[?7h')[0]!
      .replace(/\u001b\[[0-9;?]*[A-Za-z]/g, '')
      .split(/\r+\n/);
  };
  const ended = new Promise<{ code: number; sane: boolean }>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', () => {
      const end = told.split('\n').at(-1)!;
      if (end.startsWith('{')) resolve(JSON.parse(end));
      else reject(new Error(`the terminal ended without a word: ${told}`));
    });
  });
  // Of one that is killed nobody wants to know.
  ended.catch(() => {});
  return {
    output: () => output,
    screen,
    until: (wish, what) =>
      until(() => wish(screen().join('\n')), what).catch((error) => {
        throw new Error(`${error.message}\n${screen().join('\n')}\n${told}`);
      }),
    press: (keys) => void child.stdin!.write(keys),
    resize: (width, height) => void control.write(`size ${width} ${height}\n`),
    signal: (number) => void control.write(`signal ${number}\n`),
    ended,
    kill: () => void child.kill('SIGKILL'),
  };
}
