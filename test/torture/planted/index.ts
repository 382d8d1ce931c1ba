// Builds the agent with one bug planted, in the very way in which the real one is built.
import { mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Plugin } from 'esbuild';
import { buildAgent } from '../../../scripts/build.ts';
import { ABOUT_FILES, ABOUT_THE_REST, ABOUT_THE_STORE, type Change, type Planted } from './bugs.ts';

const ROOT = join(import.meta.dirname, '../../..');

export const PLANTED: readonly Planted[] = [...ABOUT_THE_STORE, ...ABOUT_FILES, ...ABOUT_THE_REST];

/**
 * The path of `r2-sync.js` with that bug, in a directory of its own that whoever asked for it removes. Rejects where
 * there is no such bug, or where the sources have moved away from it.
 */
export async function buildPlanted(name: string): Promise<string> {
  const planted = PLANTED.find((bug) => bug.name === name);
  if (!planted) throw new Error(`There is no bug "${name}". There are: ${PLANTED.map((bug) => bug.name).join(', ')}.`);
  return buildWith(planted.changes, name);
}

/** `buildPlanted` for changes of any kind. */
export async function buildWith(changes: readonly Change[], name: string): Promise<string> {
  const texts = await applyAll(changes, name);
  const outdir = await mkdtemp(join(tmpdir(), `r2-sync-${name}-`));
  const unseen = new Set(texts.keys());
  const plugin: Plugin = {
    name: 'planted',
    setup: ({ onLoad }) =>
      onLoad({ filter: /\.ts$/ }, ({ path }) => {
        unseen.delete(path);
        const contents = texts.get(path);
        return contents === undefined ? undefined : { contents, loader: 'ts' };
      }),
  };
  try {
    await buildAgent({ outdir, plugins: [plugin] });
    if (unseen.size > 0) throw new Error(`The bug "${name}" is in files that no bundle has: ${[...unseen].join(', ')}`);
    // What a bundle finds beside itself in the checkout.
    await writeFile(join(outdir, 'package.json'), '{ "type": "module" }\n');
    await symlink(join(ROOT, 'node_modules'), join(outdir, 'node_modules'));
  } catch (error) {
    await rm(outdir, { recursive: true, force: true });
    throw error;
  }
  return join(outdir, 'r2-sync.js');
}

/** The sources that change, by their path. */
async function applyAll(changes: readonly Change[], name: string): Promise<Map<string, string>> {
  const texts = new Map<string, string>();
  for (const { file, replace, by } of changes) {
    const path = join(ROOT, file);
    const text = texts.get(path) ?? (await readFile(path, 'utf8'));
    const [before, after, more] = text.split(replace);
    if (before === undefined || after === undefined || more !== undefined) {
      throw new Error(`The bug "${name}" needs this text exactly once in ${file}: ${replace}`);
    }
    texts.set(path, `${before}${by}${after}`);
  }
  return texts;
}
