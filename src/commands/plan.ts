// `r2-sync plan`: what would be uploaded, what is skipped, and why. Writes nothing and asks no store.
import { ExitCode } from '../errors.ts';
import { printable } from '../paths.ts';
import type { Verdict } from '../settle/formats/index.ts';
import { number, size } from '../status/words.ts';
import { printJson } from './output.ts';
import { createCommandLog, requireConfig } from './settings.ts';
import { countFolders, type Survey, surveyOutput } from './survey.ts';

/** What becomes of a candidate, by what its format says. */
const FATE: Record<Verdict | 'empty' | 'unreadable', string> = {
  whole: 'upload',
  unknown: 'upload once it has been quiet',
  torn: 'not finished; upload when it is whole, or marked incomplete when its writer is gone for good',
  empty: 'empty: left',
  unreadable: "can't be read",
};

const SHOWN = 20;

export async function plan(options: { json: boolean }): Promise<ExitCode> {
  const { config, warnings, secrets } = requireConfig(false);
  const log = createCommandLog('warn', secrets);
  const survey = await surveyOutput(config, log);
  const notes = [...warnings];
  if (config.endpoint === '')
    notes.push('R2_ENDPOINT is not set, so no ledger belongs to this plan: every file counts as new.');
  if (options.json) printJson(planFacts(survey, config.outputDir, notes));
  else console.log(describePlan(survey, config.outputDir, notes));
  return ExitCode.done;
}

function planFacts(survey: Survey, outputDir: string, notes: readonly string[]) {
  return {
    outputDir,
    notes,
    stored: survey.ledger.index.size,
    candidates: survey.candidates.map(({ path, size: bytes, verdict }) => ({
      path: printable(path),
      bytes,
      verdict,
      fate: FATE[verdict],
    })),
    skipped: survey.skipped,
    unreadable: survey.problems.map(({ path, code }) => ({ path: printable(path), code })),
  };
}

function describePlan(survey: Survey, outputDir: string, notes: readonly string[]): string {
  const { candidates, skipped, problems, ledger } = survey;
  const bytes = candidates.reduce((sum, candidate) => sum + candidate.size, 0);
  const lines = [
    ...notes,
    `${outputDir}: ${number(ledger.index.size)} files are in the bucket, ${number(candidates.length)} (${size(bytes)}) would be looked at.`,
  ];
  for (const [folder, counts] of countFolders(candidates)) {
    lines.push(`  folder ${printable(folder)}: ${number(counts.files)} files, ${size(counts.bytes)}`);
  }
  for (const verdict of Object.keys(FATE) as (keyof typeof FATE)[]) {
    const files = candidates.filter((candidate) => candidate.verdict === verdict);
    if (files.length === 0) continue;
    lines.push(`${number(files.length)} files: ${FATE[verdict]}`);
    for (const file of files.slice(0, SHOWN)) lines.push(`  ${printable(file.path)} (${size(file.size)})`);
    if (files.length > SHOWN) lines.push(`  and ${number(files.length - SHOWN)} more (--json lists all)`);
  }
  for (const [reason, count] of Object.entries(skipped)) lines.push(`${number(count)} skipped: ${reason}`);
  for (const { path, code } of problems) lines.push(`can't read the directory ${printable(path) || '.'} (${code})`);
  return lines.join('\n');
}
