// Invariant 10, on paper: what docs/troubleshooting.md quotes is what the agent and the image's scripts say, and no line of
// the boot report, no reason of a failed download and no code of the store is missing.
import { expect, test } from 'vitest';
import { toStoreError } from '../../src/upload/failures.ts';
import { codeSpans, read, readExtension, readScripts, readSource, tableRows } from './documents.ts';

const page = read('docs/troubleshooting.md');
const source = readSource();
const scripts = readScripts();
const quoting = [
  '## May I stop the pod?',
  '## Failing: settings',
  '## Failing: the bucket refuses us',
  '## Degraded',
  '## A file is on its way',
  '## A file is parked',
  '## A file is left alone',
  '## What verify says',
  '## What the log says',
  '## Commands that end with an error',
  "## The status page doesn't open",
];

test.each(quoting)('invariant 10: what "%s" quotes is what the agent says', (heading) => {
  const quotes = tableRows(page, heading).flatMap(([first]) => codeSpans(first!));
  expect(quotes.length).toBeGreaterThan(3);
  for (const quote of quotes) {
    for (const piece of piecesOf(quote)) {
      expect(source.includes(piece), `"${piece}" of \`${quote}\` is nowhere in src`).toBe(true);
    }
  }
});

const quotingScripts = [
  '## The last line: does the bucket take uploads?',
  '## Where things are kept',
  "## ComfyUI doesn't come up",
  '## No GPU is found',
  '## Models',
  "## SSH and JupyterLab don't open",
  '## Settings of the image',
  '## At the end of a pod',
];

test.each(quotingScripts)('what "%s" quotes is what the scripts of the image say', (heading) => {
  const quotes = tableRows(page, heading).flatMap(([first]) => codeSpans(first!));
  expect(quotes.length).toBeGreaterThan(3);
  for (const quote of quotes) {
    for (const piece of piecesOf(quote)) {
      // The last line of the boot report is the agent's.
      const found = scripts.includes(piece) || source.includes(piece);
      expect(found, `"${piece}" of \`${quote}\` is in no script`).toBe(true);
    }
  }
});

test('what "The badge in ComfyUI" quotes is what the badge says', () => {
  const quotes = tableRows(page, '## The badge in ComfyUI').flatMap(([first]) => codeSpans(first!));
  expect(quotes.length).toBeGreaterThan(3);
  const said = source + readExtension();
  for (const piece of quotes.flatMap(piecesOf)) expect(said.includes(piece), `"${piece}" is nowhere`).toBe(true);
});

test('every line of the boot report is explained, and no other', () => {
  const explained = tableRows(page, '## The boot report').flatMap(([first]) => codeSpans(first!));
  const reported = [...scripts.matchAll(/^\s*report ([a-z0-9-]+) /gm)].map((match) => match[1]!);
  expect(new Set(explained)).toEqual(new Set(reported));
});

test('every reason for which a model is missing has an answer', () => {
  const quotes = tableRows(page, '## Models').flatMap(([first]) => codeSpans(first!));
  const texts = /^failure_text\(\) \{[\s\S]*?^\}/m.exec(read('docker/downloads/sources.sh'))?.[0] ?? '';
  const reasons = [...texts.matchAll(/printf (["'])(.*?)\1/g)].map((match) => match[2]!);
  expect(reasons.length).toBeGreaterThan(10);
  for (const reason of reasons) {
    // What only passes on what another line has said.
    if (/^%s$|^It can't be written|^%s answered %s/.test(reason)) continue;
    const answered = quotes.some((quote) => piecesOf(quote).some((piece) => reason.includes(piece)));
    expect(answered, `docs/troubleshooting.md has no answer to "${reason}"`).toBe(true);
  }
});

test('invariant 10: every code of the store is in the table, with its class', () => {
  const rows = tableRows(page, '## Errors of the store, by code').map(([codes, failure]) => ({
    codes: codeSpans(codes!),
    failure,
  }));
  for (const { codes, failure } of rows) {
    for (const code of codes) expect(`${code}: ${classOf(code)}`).toBe(`${code}: ${failure}`);
  }
  const table = /^const byCode\b[\s\S]*?^\};$/m.exec(read('src/upload/failures.ts'))?.[0] ?? '';
  const known = [...table.matchAll(/^ {2}(\w+): /gm)].map((match) => match[1]!);
  expect(known.length).toBeGreaterThan(40);
  expect(rows.flatMap(({ codes }) => codes).sort()).toEqual(known.sort());
});

/** Texts that the agent puts together from several: `…` stands where they meet. */
const composed: readonly [RegExp, string][] = [
  [/^(the store answered) (\w+)/, '$1…$2'],
  [/^(The ledger in … can't be) (read|written)/, '$1…'],
  [/^R2_ENDPOINT (ends with one bucket and) R2_BUCKET (names another\.)$/, '…$1…$2'],
  [/\(EACCES\)$/, ''],
  // Which service it is about, and what became of it.
  [/^(?:ComfyUI|sshd) (?=was |ended |crashed |…)/, '…'],
  // Any extension may stand there.
  [/^\.\w+$/, ''],
];

/** What of a quote is the agent's own text, and not a name or a number. */
function piecesOf(quote: string): string[] {
  return composed
    .reduce((text, [found, replacement]) => text.replace(found, replacement), quote)
    .split('…')
    .map((piece) => piece.replace(/^[\s:()".]+|[\s:()".]+$/g, ''))
    .filter((piece) => piece.length > 3);
}

function classOf(code: string): string {
  const error = Object.assign(new Error(code), { name: code, $metadata: { httpStatusCode: 400 } });
  return toStoreError(error, { bucket: 'bucket', endpoint: 'https://store.invalid' }).failure;
}
