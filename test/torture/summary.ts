// Reports of runs (--report) as tables in Markdown: node test/torture/summary.ts FILE...
import { readFileSync } from 'node:fs';
import type { Result } from './run.ts';
import { Tally } from './tally.ts';

const results = process.argv
  .slice(2)
  .flatMap((file) => readFileSync(file, 'utf8').trim().split('\n'))
  .map((line) => JSON.parse(line) as Result);
const sum = (of: (result: Result) => number) => results.reduce((total, result) => total + of(result), 0);
const number = (value: number) => value.toLocaleString('en-US');

const tally = new Tally();
for (const { faults } of results) tally.merge(faults);

const facts: [string, number][] = [
  ['runs (seeds)', results.length],
  ['hours', Math.round(sum(({ seconds }) => seconds) / 360) / 10],
  ['storms, each followed by a calm in which everything is checked', sum(({ storms }) => storms)],
  ['faults done', tally.sum('done')],
  ['faults that interrupted an upload, a ledger write or a lease operation', tally.sum('counted')],
  ['starts of the agent', sum(({ lives }) => lives)],
  ['finished versions of files', sum(({ versions }) => versions)],
  ['of these, there at a calm, and so to be in the bucket', sum(({ due }) => due)],
  ['objects', sum(({ objects }) => objects)],
  ['ledger lines, each compared with the store', sum(({ ledgerLines }) => ledgerLines)],
  ['requests', sum(({ requests }) => requests)],
  ['files that were sent again', sum(({ repeats }) => repeats)],
  ['runs in which something was wrong', results.filter(({ wrongs }) => wrongs.length > 0).length],
];
console.log('| what | how many |\n| --- | ---: |');
for (const [what, count] of facts) console.log(`| ${what} | ${number(count)} |`);
console.log('\n| fault | done | that counted | upload | ledger | lease |\n| --- | ---: | ---: | ---: | ---: | ---: |');
for (const [name, { done, counted, upload, ledger, lease }] of [...tally.kinds].sort())
  console.log(`| ${name} | ${[done, counted, upload, ledger, lease].map(number).join(' | ')} |`);
