// `r2-sync config set`: keeps settings for this machine. A running agent takes them up by itself.
import { createInterface } from 'node:readline/promises';
import { Writable } from 'node:stream';
import { runDirOf, saveSetting } from '../config/sources.ts';
import { ExitCode, UserError } from '../errors.ts';

/** @param assignments NAME=VALUE each; NAME alone asks for the value without showing it, or reads it from a pipe */
export async function configSet(assignments: readonly string[]): Promise<ExitCode> {
  const runDir = runDirOf(process.env);
  for (const assignment of assignments) {
    const at = assignment.indexOf('=');
    const name = at === -1 ? assignment : assignment.slice(0, at);
    const value = at === -1 ? await askFor(name) : assignment.slice(at + 1);
    saveSetting(runDir, name, value);
    console.log(
      value === ''
        ? `${name} is forgotten`
        : `${name} is kept in ${runDir}; a running agent takes it up within seconds`,
    );
  }
  return ExitCode.done;
}

async function askFor(name: string): Promise<string> {
  if (process.stdin.isTTY) process.stderr.write(`${name}: `);
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() });
  const lines = createInterface({ input: process.stdin, output: silent, terminal: process.stdin.isTTY });
  try {
    for await (const line of lines) return line;
  } finally {
    lines.close();
    if (process.stdin.isTTY) process.stderr.write('\n');
  }
  throw new UserError(
    `no value for ${name}`,
    `Write r2-sync config set ${name}=VALUE, or pipe the value in.`,
    ExitCode.usage,
  );
}
