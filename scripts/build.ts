// Bundles the agent into one file, dist/r2-sync.js: `node scripts/build.ts`. Only @parcel/watcher stays outside: it has a native part. The
// volume worker's code and the status page's script and style travel inside as text, so that there is no second file to
// lose. Page.js and page.css are in dist too, for the agent that runs from its sources, and the licences of what is inside.
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { type BuildOptions, build, type Plugin } from 'esbuild';
import { mallocSettings } from '../src/memory.ts';
import { noticesOf } from './notices.ts';

const common = {
  bundle: true,
  platform: 'node',
  // The ES modules of dependencies, so that what isn't used is left out: less to load, less memory.
  mainFields: ['module', 'main'],
  target: 'node22',
  minifySyntax: true,
  minifyWhitespace: true,
  // Their notices are in a file of their own.
  legalComments: 'none',
  metafile: true,
  logLevel: 'warning',
} satisfies BuildOptions;

const malloc = Object.entries(mallocSettings)
  .map(([name, value]) => `${name}=${value}`)
  .join(' ');

export interface AgentBuild {
  /** Made if it isn't there. */
  outdir: string;
  /** They see the sources of the agent and of its worker. */
  plugins: readonly Plugin[];
}

/** Must run in the checkout. Rejects where the sources can't be bundled. */
export async function buildAgent({ outdir, plugins }: AgentBuild): Promise<void> {
  const worker = await build({
    ...common,
    plugins: [...plugins],
    entryPoints: ['src/volume/worker.ts'],
    format: 'cjs',
    minify: true,
    write: false,
  });

  const page = await build({
    bundle: true,
    minify: true,
    legalComments: 'none',
    metafile: true,
    logLevel: 'warning',
    // The one beside the script is for its type check, and leads to files that an image's build doesn't have.
    tsconfigRaw: {},
    target: ['chrome111', 'firefox113', 'safari16.4'],
    entryPoints: { page: 'src/status/page/client/main.ts', style: 'src/status/page/page.css' },
    outdir,
    write: false,
  });
  const [script, style] = ['.js', '.css'].map((end) => page.outputFiles.find(({ path }) => path.endsWith(end))!.text);
  await mkdir(outdir, { recursive: true });
  await writeFile(`${outdir}/page.js`, script!);
  await writeFile(`${outdir}/page.css`, style!);

  const agent = await build({
    ...common,
    plugins: [...plugins],
    entryPoints: ['src/main.ts'],
    outfile: `${outdir}/r2-sync.js`,
    format: 'esm',
    external: ['@parcel/watcher'],
    define: {
      BUNDLED_VOLUME_WORKER: JSON.stringify(worker.outputFiles[0]!.text),
      BUNDLED_PAGE: JSON.stringify({ script, style }),
    },
    banner: {
      // What can only be said before Node starts, and is worth some 35 MB of memory: a small young generation, no start-up
      // snapshot (its pages would stay in memory; it saves 70 ms), a malloc that gives back what is free. See src/memory.ts
      // too. CommonJS dependencies want require.
      js: [
        `#!/usr/bin/env -S ${malloc} node --max-semi-space-size=1 --no-node-snapshot`,
        "import { createRequire as bundledCreateRequire } from 'node:module';",
        'const require = bundledCreateRequire(import.meta.url);',
      ].join('\n'),
    },
  });
  await chmod(`${outdir}/r2-sync.js`, 0o755);
  await writeFile(
    `${outdir}/THIRD-PARTY-LICENSES.txt`,
    noticesOf([worker, page, agent].map(({ metafile }) => metafile)),
  );
}

if (import.meta.main) await buildAgent({ outdir: 'dist', plugins: [] });
