// Puts /opt/r2-sync together: `node agent.ts BUNDLE MODULES OUT`. The bundle, the licences of what is in it, a launcher that does what the bundle's first
// line does, @parcel/watcher with what it needs out of MODULES, and nothing else: Node itself comes from its own image.
import { chmodSync, copyFileSync, cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

const [bundle, modules, out] = process.argv.slice(2) as [string, string, string];

const library = join(out, 'lib');
mkdirSync(join(out, 'bin'), { recursive: true });
mkdirSync(library);
copyFileSync(bundle, join(library, 'r2-sync.js'));
copyFileSync(join(dirname(bundle), 'THIRD-PARTY-LICENSES.txt'), join(out, 'THIRD-PARTY-LICENSES.txt'));
writeFileSync(join(library, 'package.json'), '{ "type": "module" }\n');
for (const name of neededBy('@parcel/watcher'))
  cpSync(join(modules, name), join(library, 'node_modules', name), { recursive: true, filter: isOfUse });
const launcher = join(out, 'bin/r2-sync');
writeFileSync(launcher, launcherText(readFileSync(bundle, 'utf8').split('\n', 1)[0]!));
chmodSync(launcher, 0o755);

/** A package with all that it needs to run, as far as it is there: of the native parts only the target's is. */
function neededBy(name: string, known = new Set<string>()): Set<string> {
  const manifest = join(modules, name, 'package.json');
  if (known.has(name) || !existsSync(manifest)) return known;
  known.add(name);
  const { dependencies, optionalDependencies } = JSON.parse(readFileSync(manifest, 'utf8'));
  for (const other of Object.keys({ ...dependencies, ...optionalDependencies })) neededBy(other, known);
  return known;
}

/** Sources and headers serve who compiles the native part, which we don't. */
function isOfUse(path: string): boolean {
  return !/\/(src|scripts|binding\.gyp)$|\/node-addon-api$/.test(path);
}

/** `#!/usr/bin/env -S NAME=value… node --flag…`: what can only be said before Node starts. See scripts/build.ts. */
function launcherText(firstLine: string): string {
  const [, settings, flags] = /^#!\/usr\/bin\/env -S ((?:\w+=\w+ )+)node((?: --[\w=-]+)+)$/.exec(firstLine) ?? [];
  if (settings === undefined || flags === undefined) throw new Error(`${bundle} begins with a line of another form`);
  return `#!/bin/sh
# r2-sync with the Node that it brings along.
self=$(readlink -f "$0")
home=\${self%/bin/*}
for loader in /lib64/ld-linux-x86-64.so.2 /lib/ld-linux-aarch64.so.1; do
  if [ -e "$loader" ]; then ${settings}exec "$home/lib/node"${flags} "$home/lib/r2-sync.js" "$@"; fi
done
echo "r2-sync: there is no glibc in this image (Alpine?): r2-sync needs an image with glibc 2.28 or later" >&2
exit 127
`;
}
