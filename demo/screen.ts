// What a person sees: one line for what happens, with the time, who says it, and what it is.
import { styleText } from 'node:util';

type Style = Parameters<typeof styleText>[0];

export interface Screen {
  /** Text as it is. */
  text(text: string): void;
  /** A line of the log, `who` in the style. */
  line(who: string, what: string, style?: Style): void;
  /** A line that the agent (or what runs beside it) wrote: JSON, or anything else. */
  agentLine(line: string): void;
}

/** The parts of the agent's log that are shown. */
interface LogLine {
  level?: number;
  msg?: string;
  path?: string;
  key?: string;
  bytes?: number;
  seconds?: number;
  already?: boolean;
  /** Only in the agent's introduction, which says what ours said. */
  outputDir?: string;
}

const INDENT = ' '.repeat(10);
/** What the simulator says to its makers. */
const CHATTER = /^workerd\/.* NOSENTRY /;

export function createScreen(): Screen {
  // styleText looks at NO_COLOR, FORCE_COLOR and whether this is a terminal.
  const paint = (style: Style, text: string) => styleText(style, text, { stream: process.stdout });
  const line: Screen['line'] = (who, what, style = 'dim') => {
    const time = new Date().toTimeString().slice(0, 8);
    console.log(`${paint('dim', time)}  ${paint(style, who.padEnd(8))} ${what.replaceAll('\n', `\n${INDENT}`)}`);
  };
  return {
    text: (text) => console.log(text),
    line,
    agentLine: (text) => {
      if (CHATTER.test(text)) return;
      const { level = 30, msg, path, key, bytes, seconds, already, outputDir } = parse(text);
      if (outputDir !== undefined) return;
      if (path !== undefined && key !== undefined && bytes !== undefined && seconds !== undefined) {
        const arrow = `${paint('dim', '→')} ${paint('cyan', key)}`;
        line(already ? 'known' : 'stored', `${path} (${megabytes(bytes)}, ${seconds.toFixed(2)} s)\n${arrow}`, 'green');
      } else line('agent', msg ?? text, level >= 50 ? 'red' : level >= 40 ? 'yellow' : 'dim');
    },
  };
}

export function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(bytes < 100_000 ? 3 : 1)} MB`;
}

function parse(line: string): LogLine {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null ? value : {};
  } catch {
    return {};
  }
}
