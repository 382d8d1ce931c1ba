// What the pages promise about the repository: that what they name is there.
import { execFileSync } from 'node:child_process';
import { posix } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { findSetting } from '../../src/config/names.ts';
import { ExitCode } from '../../src/errors.ts';
import { anchorsOf, codeLines, codeSpans, isThere, pages, read, tableRows, withoutBlocks } from './documents.ts';

const manifest = JSON.parse(read('package.json')) as { version: string; scripts: Record<string, string> };

/** The commands that --help lists, nested ones by their whole name. */
function commandsOf(...args: string[]): string[] {
  const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url));
  const help = execFileSync(process.execPath, [main, ...args, '--help'], { encoding: 'utf8', stdio: 'pipe' });
  const section = /^Commands:\n((?: .*\n)+)/m.exec(help)?.[1] ?? '';
  const names = [...section.matchAll(/^ {2}(\w+)/gm)].map((match) => match[1]!).filter((name) => name !== 'help');
  return names.flatMap((name) => (name === 'config' ? commandsOf('config') : [[...args, name].join(' ')]));
}

describe.each(pages)('%s', (page) => {
  test('every link leads somewhere', () => {
    const text = withoutBlocks(read(page));
    for (const [, target] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^https:\/\//.test(target!)) continue;
      const [path, anchor] = target!.split('#') as [string, string | undefined];
      const file = path === '' ? page : posix.join(posix.dirname(page), path);
      expect(isThere(file), `${page} links to ${target}`).toBe(true);
      if (anchor !== undefined) expect(anchorsOf(read(file)), `${page} links to ${target}`).toContain(anchor);
    }
  });

  test('every file that is named is there', () => {
    for (const span of codeSpans(read(page))) {
      if (!/^(src|test|docs|docker|bench|scripts|\.ci|\.github)\/[\w./-]*$/.test(span)) continue;
      if (/^bench\/(\.cache|results)|^test\/system/.test(span)) continue;
      // Made by whoever uses the compose file.
      if (/^docker\/(\.env|output|models|shared-models)$/.test(span)) continue;
      expect(isThere(span), `${page} names ${span}`).toBe(true);
    }
  });

  test('every npm script that is named is there', () => {
    for (const [, name] of read(page).matchAll(/\bnpm run (?:--silent )?([\w:-]+)/g)) {
      expect(Object.keys(manifest.scripts), `${page} names "npm run ${name}"`).toContain(name);
    }
  });

  test('every setting that is named is one', () => {
    for (const [name] of read(page).matchAll(/\b(?:R2_[A-Z][A-Z_]*[A-Z]|COMFYUI_OUTPUT_DIR|ENABLE_R2_SYNC)\b/g)) {
      if (/^R2_(TEST|FILE)_/.test(name)) continue;
      expect(findSetting(name), `${page} names ${name}`).toBeDefined();
    }
  });
});

test('README names every command, and no other', () => {
  const named = tableRows(read('README.md'), '## Use it')
    .map(([first]) => /^`r2-sync (config set|\w+)/.exec(first!)?.[1])
    .filter((name) => name !== undefined);
  expect(named.sort()).toEqual(commandsOf().sort());
});

test('no page names a command that is not there', () => {
  const commands = commandsOf();
  for (const page of pages) {
    for (const line of codeLines(read(page))) {
      const name = /^(?:npx )?r2-sync (config set|[a-z]+)/.exec(line)?.[1];
      if (name !== undefined) expect(commands, `${page} names "${line}"`).toContain(name);
    }
  }
});

test('README names every exit code', () => {
  const codes = tableRows(read('README.md'), '## Use it').flatMap(([first]) =>
    /^\d$/.test(first!) ? Number(first) : [],
  );
  expect(codes).toEqual(Object.values(ExitCode));
});

test('the changelog has an entry for this version', () => {
  expect(read('CHANGELOG.md')).toContain(`\n## [${manifest.version}]`);
});
