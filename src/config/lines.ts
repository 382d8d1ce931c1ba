// The format of the settings files: one NAME=VALUE a line. A value that wouldn't survive as plain text is a JSON
// string. Blank lines, lines that start with '#', and a leading `export` are fine.

const plain = /^[\w.,:/@%+={}*-]*$/;

export function formatLines(entries: ReadonlyMap<string, string>): string {
  return [...entries].map(([name, value]) => `${name}=${plain.test(value) ? value : JSON.stringify(value)}\n`).join('');
}

/** The entries of a settings file, and the numbers of the lines that aren't NAME=VALUE. */
export function parseLines(text: string): { entries: Map<string, string>; bad: number[] } {
  const entries = new Map<string, string>();
  const bad: number[] = [];
  for (const [index, raw] of text.split('\n').entries()) {
    const line = raw.trim();
    if (line === '' || line.startsWith('#')) continue;
    const match = /^(?:export\s+)?([A-Za-z_]\w*)=(.*)$/s.exec(line);
    if (match) entries.set(match[1]!, parseValue(match[2]!));
    else bad.push(index + 1);
  }
  return { entries, bad };
}

/** Quotes that aren't JSON are a shell's or a person's: they are stripped where the value is read. */
function parseValue(text: string): string {
  if (!/^".*"$/s.test(text)) return text;
  try {
    return JSON.parse(text) as string;
  } catch {
    return text;
  }
}
