// The page's script and style. The bundler puts them into the agent as text, so that what ships is one file; in a
// checkout they are what the last build left in dist.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { version } from '../../version.ts';

declare const BUNDLED_PAGE: { script: string; style: string } | undefined;

const files = typeof BUNDLED_PAGE === 'object' ? BUNDLED_PAGE : readBuilt();

export const pageScript = files.script;
export const pageStyle = files.style;

/** Changes with every change of script, style or version: a page that is open notices by it that it is outdated. */
export const build = createHash('sha256')
  .update(`${version}\n${pageScript}\n${pageStyle}`)
  .digest('base64url')
  .slice(0, 12);

function readBuilt(): { script: string; style: string } {
  const read = (name: string) => readFileSync(new URL(`../../../dist/${name}`, import.meta.url), 'utf8');
  return { script: read('page.js'), style: read('page.css') };
}
