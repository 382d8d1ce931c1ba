// The window of a terminal that a command has for itself: the alternate screen, keys as they are pressed, and all of it
// given back whatever happens.

/** On the alternate screen, without a cursor, lines cut and not broken at its edge. */
const ENTER = '\u001b[?1049h\u001b[?25l\u001b[?7l';
const LEAVE = '\u001b[?7h\u001b[?25h\u001b[?1049l';
const HOME = '\u001b[H';
/** Before its text: behind it, the cursor stands on the last character of a full line. */
const CLEAR_LINE = '\u001b[2K';
const CLEAR_BELOW = '\u001b[J';

const CTRL_C = '\u0003';
const CTRL_Z = '\u001a';
const ENDING: readonly NodeJS.Signals[] = ['SIGINT', 'SIGTERM', 'SIGHUP'];

export interface Window {
  /** Aborted when its user, a signal or the loss of the terminal ends it. */
  readonly closed: AbortSignal;
  /** Columns and rows, as they are now. */
  size(): { width: number; height: number };
  /** Shows these lines from the top; what was there before is gone. */
  draw(lines: readonly string[]): void;
  /** Gives the terminal back. To be called in any case. */
  close(): void;
}

/** @param onResize its size has changed, or it was covered: draw again */
export function openWindow(onResize: () => void): Window {
  const { stdin, stdout } = process;
  const closing = new AbortController();
  const end = () => closing.abort();
  const enter = () => {
    if (stdin.isTTY) stdin.setRawMode(true);
    stdout.write(ENTER);
  };
  const leave = () => {
    if (stdin.isTTY) stdin.setRawMode(false);
    stdout.write(LEAVE);
  };
  const resume = () => {
    enter();
    onResize();
  };
  const onKeys = (keys: Buffer) => {
    const text = keys.toString('latin1');
    if (/[qQ]/.test(text) || text.includes(CTRL_C)) return end();
    if (!text.includes(CTRL_Z)) return;
    leave();
    process.once('SIGCONT', resume);
    process.kill(process.pid, 'SIGTSTP');
  };
  enter();
  for (const signal of ENDING) process.on(signal, end);
  // Also where something unexpected ends the process.
  process.once('exit', leave);
  // The terminal is gone: nobody is there to be told.
  stdout.on('error', end);
  stdout.on('resize', onResize);
  if (stdin.isTTY) stdin.on('data', onKeys);
  return {
    closed: closing.signal,
    size: () => ({ width: stdout.columns || 80, height: stdout.rows || 24 }),
    draw: (lines) => stdout.write(HOME + lines.map((line) => CLEAR_LINE + line).join('\r\n') + CLEAR_BELOW),
    close: () => {
      process.off('exit', leave);
      for (const signal of ENDING) process.off(signal, end);
      stdin.off('data', onKeys).pause();
      stdout.off('resize', onResize);
      leave();
    },
  };
}
