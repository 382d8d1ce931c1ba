// Under which licences comes what we install? `npm run licences [LOCKFILE]` reads them from the lockfile, for every
// platform's packages, and ends with 1 naming each that isn't on the list. What ships must be under a licence that asks
// for no more than its notice (scripts/notices.ts makes the file with them); a tool that only developers run may also be
// under one that protects the tool itself.
import { readFileSync } from 'node:fs';

interface LockedPackage {
  license?: string;
  dev?: boolean;
  /** A link to a directory of our own. */
  link?: boolean;
}

const SHIPPED: ReadonlySet<string> = new Set(
  '0BSD Apache-2.0 BSD-2-Clause BSD-3-Clause BlueOak-1.0.0 CC0-1.0 ISC MIT Python-2.0 Unlicense Zlib'.split(' '),
);
const TOOLS: ReadonlySet<string> = new Set([...SHIPPED, 'LGPL-3.0-or-later', 'MPL-2.0']);

/** Whether a licence expression (SPDX) can be met with the licences on the list: one of `A OR B`, all of `A AND B`. */
function isAllowed(expression: string, list: ReadonlySet<string>): boolean {
  const plain = expression.replace(/^\((.*)\)$/, '$1');
  // Mixed with parentheses inside is for a person to read.
  if (/[()]/.test(plain)) return false;
  return plain.split(' OR ').some((choice) => choice.split(' AND ').every((licence) => list.has(licence)));
}

const lockfile = process.argv[2] ?? 'package-lock.json';
const { packages } = JSON.parse(readFileSync(lockfile, 'utf8')) as { packages: Record<string, LockedPackage> };
const counts = { shipped: 0, tools: 0 };
const refused: string[] = [];
for (const [path, { license, dev, link }] of Object.entries(packages)) {
  if (path === '' || link) continue;
  const [list, what] = dev ? [TOOLS, 'tools' as const] : [SHIPPED, 'shipped' as const];
  counts[what] += 1;
  if (license === undefined || !isAllowed(license, list))
    refused.push(`${path.replace(/^.*node_modules\//, '')} (${what}): ${license ?? 'names no licence'}`);
}
if (refused.length > 0) {
  console.error(`Not on the list of licences in scripts/licences.ts:\n${refused.join('\n')}`);
  console.error('Take another package, or read its licence and add it to the list if we can keep it.');
  process.exitCode = 1;
} else {
  console.log(`licences: ${counts.shipped} packages that may ship and ${counts.tools} tools are fine`);
}
