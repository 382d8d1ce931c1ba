// Decides where settings come from, and which source wins. Weakest first: `<runDir>/env`, which start.sh writes
// because an SSH shell doesn't inherit the container's variables; the environment; `<runDir>/set`, which
// `r2-sync config set` writes so that a pod's wrong variable can be put right without resetting its disk.
import { join, resolve } from 'node:path';
import { ExitCode, UserError } from '../errors.ts';
import { printable } from '../paths.ts';
import { looksLikePath, readNamedFile, readRunFile, UnusableFile, writeRunFile } from './files.ts';
import { formatLines, parseLines } from './lines.ts';
import { findSetting, namesOf, nearestName, settings } from './names.ts';
import { checkValue, howTo } from './parse.ts';
import type { Setting } from './setting.ts';
import { table } from './table.ts';
import { cleanValue } from './text.ts';
import type { Problem, Settings } from './types.ts';

export interface Sources {
  /** Everything that is set, `_FILE` settings replaced by what their files hold. */
  settings: Settings;
  problems: readonly Problem[];
  warnings: readonly string[];
  /** Where each setting that is set comes from, by its name; for people. */
  origins: Readonly<Record<string, string>>;
}

/** The directory of this machine's settings files. Only the environment can move it. */
export function runDirOf(env: Settings): string {
  return resolve(cleanValue(env[table.runDir.name]) ?? table.runDir.fallback?.(env) ?? '');
}

/** Merges all sources. Never throws. Cheap enough to be called every few seconds by who waits for a fix. */
export function readSettings(env: NodeJS.ProcessEnv): Sources {
  const runDir = runDirOf(env);
  const problems: Problem[] = [];
  const warnings: string[] = [];
  const layers = [readLayer(runDir, 'env', problems, warnings), env, readLayer(runDir, 'set', problems, warnings)];
  const places = [join(runDir, 'env'), 'the environment', `${join(runDir, 'set')} (r2-sync config set)`];
  const origins: Record<string, string> = {};
  const merged: Record<string, string | undefined> = Object.assign({}, ...layers.map(withoutEmpty));

  for (const setting of settings) {
    const layer = layers.findLast((candidate) => formsOf(setting).some((name) => cleanValue(candidate[name])));
    for (const name of formsOf(setting)) delete merged[name];
    if (!layer) continue;
    Object.assign(merged, readEntries(layer, setting, problems, warnings));
    origins[setting.name] = places[layers.indexOf(layer)]!;
  }
  merged[table.runDir.name] = runDir;
  return { settings: merged, problems, warnings, origins };
}

/**
 * Keeps a setting for this machine; an empty value forgets it. Any other name or `_FILE` form of the same setting is
 * forgotten too: what was said last counts. Throws UserError for an unknown name, a wrong value or an unusable
 * directory.
 */
export function saveSetting(runDir: string, name: string, value: string): void {
  const setting = findSetting(name);
  if (!setting) throw unknownName(name);
  if (setting.boot) {
    throw new UserError(
      `${name} can't be changed on a running pod.`,
      'It is read when the container or the command starts.',
      ExitCode.usage,
    );
  }
  const text = cleanValue(value);
  const problem =
    text === undefined
      ? undefined
      : isFileForm(setting, name)
        ? readFileForm(setting, name, text).problem
        : checkValue(setting, name, text).problem;
  if (problem) throw new UserError(problem.message, problem.fix, ExitCode.usage);
  try {
    const { entries } = parseLines(readRunFile(runDir, 'set') ?? '');
    for (const form of formsOf(setting)) entries.delete(form);
    if (text !== undefined) entries.set(name, text);
    writeRunFile(runDir, 'set', formatLines(entries));
  } catch (error) {
    if (!(error instanceof UnusableFile)) throw error;
    const { message, fix } = unusableRunDir(runDir, error);
    throw new UserError(message, fix, ExitCode.usage, { cause: error });
  }
}

function readLayer(runDir: string, name: string, problems: Problem[], warnings: string[]): Settings {
  try {
    const { entries, bad } = parseLines(readRunFile(runDir, name) ?? '');
    // The line itself may be half of a secret.
    if (bad.length > 0) warnings.push(`${join(runDir, name)}: not NAME=VALUE, and left out: line ${bad.join(', ')}.`);
    return Object.fromEntries(entries);
  } catch (error) {
    if (!(error instanceof UnusableFile)) throw error;
    const problem = unusableRunDir(runDir, error);
    // A directory that can't be used is one problem, not one a file.
    if (!problems.some(({ message }) => message === problem.message)) problems.push(problem);
    return {};
  }
}

/** What one source says about one setting. Within a source a file wins over a value: it was the greater effort. */
function readEntries(layer: Settings, setting: Setting, problems: Problem[], warnings: string[]): Settings {
  const values = namesOf(setting).filter((name) => cleanValue(layer[name]));
  const files = namesOf(setting).filter((name) => cleanValue(layer[`${name}_FILE`]));
  const [file] = files;
  if (file === undefined) return Object.fromEntries(values.map((name) => [name, layer[name]]));
  if (values[0] !== undefined) warnings.push(`${values[0]} and ${file}_FILE are both set: the file is used.`);
  const { text, problem } = readFileForm(setting, `${file}_FILE`, cleanValue(layer[`${file}_FILE`])!);
  if (problem) problems.push(problem);
  return { [file]: text };
}

/** The value in the file that a `_FILE` setting names. */
function readFileForm(setting: Setting, name: string, path: string): { text?: string; problem?: Problem } {
  const shown = looksLikePath(path) ? ` (${printable(path)})` : '';
  const fix = `Put the value into that file, or the path of another file into ${name}. ${howTo(setting)}`;
  const fail = (reason: string) => ({
    problem: { name: setting.name, message: `The file that ${name} names${shown} ${reason}.`, fix },
  });
  try {
    const text = cleanValue(readNamedFile(path));
    return text === undefined ? fail('is empty') : { text };
  } catch (error) {
    if (!(error instanceof UnusableFile)) throw error;
    return fail(error.message);
  }
}

function formsOf(setting: Setting): readonly string[] {
  return namesOf(setting).flatMap((name) => [name, `${name}_FILE`]);
}

function isFileForm(setting: Setting, name: string): boolean {
  return !namesOf(setting).includes(name);
}

function withoutEmpty(layer: Settings): Settings {
  return Object.fromEntries(Object.entries(layer).filter(([, text]) => cleanValue(text) !== undefined));
}

function unknownName(name: string): UserError {
  const nearest = nearestName(name);
  const fix = nearest === undefined ? 'r2-sync --help lists the settings.' : `Did you mean ${nearest}?`;
  return new UserError(`${printable(name.slice(0, 80))} is no setting.`, fix, ExitCode.usage);
}

function unusableRunDir(runDir: string, error: UnusableFile): Problem {
  return {
    name: table.runDir.name,
    message: `The settings in ${printable(runDir)} can't be used: ${error.message}.`,
    fix: `Make it a directory that belongs to you and that nobody else can write (chmod 700), or name another one in ${table.runDir.name}.`,
  };
}
