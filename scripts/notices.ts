// The notices that the licences of bundled packages ask for: of every package of which a line is in a bundle, in one
// file beside it. Which those are esbuild tells.
import { readdirSync, readFileSync } from 'node:fs';
import type { Metafile } from 'esbuild';

const LICENCE_FILE = /^(licen[cs]e|copying|notice)(\.(md|txt))?$/i;

/** The text for people. @param metafiles of all bundles; paths in them are relative to the working directory */
export function noticesOf(metafiles: readonly Metafile[]): string {
  const directories = new Set<string>();
  for (const { outputs } of metafiles) {
    for (const { inputs } of Object.values(outputs)) {
      for (const [path, { bytesInOutput }] of Object.entries(inputs)) {
        const directory = /^(?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path)?.[0];
        if (directory !== undefined && bytesInOutput > 0) directories.add(directory);
      }
    }
  }
  // Packages of one author often have the very same text.
  const byText = new Map<string, string[]>();
  for (const directory of [...directories].sort()) {
    const { name, version, license } = JSON.parse(readFileSync(`${directory}/package.json`, 'utf8'));
    const title = `${name} ${version} (${license})`;
    const text = textOf(directory) ?? `No licence file comes with it; its package.json says: ${license}.`;
    byText.set(text, [...(byText.get(text) ?? []), title]);
  }
  const parts = [...byText].map(([text, titles]) => `${'-'.repeat(80)}\n${titles.join('\n')}\n\n${text}\n`);
  return `r2-sync.js holds code of these packages, under the licences that follow.\n\n${parts.join('\n')}`;
}

function textOf(directory: string): string | undefined {
  const texts = readdirSync(directory)
    .filter((name) => LICENCE_FILE.test(name))
    .sort()
    .map((name) => readFileSync(`${directory}/${name}`, 'utf8').replaceAll('\r\n', '\n').trim());
  return texts.length > 0 ? texts.join('\n\n') : undefined;
}
