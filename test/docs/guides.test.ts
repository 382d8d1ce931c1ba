// What the guides for people who rent pods promise about the image: that its variables, services and pages are there.
import { describe, expect, test } from 'vitest';
import { findSetting } from '../../src/config/names.ts';
import { blockLines, codeLines, codeSpans, pages, read, readScripts, tableRows } from './documents.ts';

interface Toggle {
  name: string;
  extras?: { name: string }[];
  choice?: { name: string };
  ids?: { name: string };
}

const guides = ['runpod-template', 'deployment', 'r2-setup', 'get-your-files', 'upgrade', 'troubleshooting'];

const compose = read('docker/docker-compose.yml');
const imageVariables = new Set([
  ...(JSON.parse(read('docker/settings.json')) as { name: string }[]).map(({ name }) => name),
  ...(JSON.parse(read('docker/models.json')) as { toggles: Toggle[] }).toggles.flatMap(
    ({ name, extras = [], choice, ids }) =>
      [{ name }, ...extras, choice, ids].flatMap((setting) => setting?.name ?? []),
  ),
]);
const composeVariables = new Set([
  ...[...compose.matchAll(/\$\{([A-Z_]+)/g)].map((match) => match[1]!),
  ...[...read('docker/.env.example').matchAll(/^#?([A-Z_]+)=/gm)].map((match) => match[1]!),
]);

/** Somebody else's: RunPod, the aws command, pip and CUDA. */
const foreign = /^(RUNPOD_[A-Z_]+|AWS_[A-Z_]+|PIP_CONSTRAINT|CUDA_VISIBLE_DEVICES|NODE_EXTRA_CA_CERTS)$/;

function isVariable(name: string): boolean {
  const plain = name.replace(/_FILE$/, '');
  return [name, plain].some(
    (one) =>
      findSetting(one) !== undefined || imageVariables.has(one) || composeVariables.has(one) || foreign.test(one),
  );
}

/** NAME or NAME=value, as a code span or a line of a block writes it. */
function variableIn(text: string): string | undefined {
  return /^([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)(?:=.*)?$/.exec(text)?.[1];
}

describe.each(guides)('docs/%s.md', (guide) => {
  const text = read(`docs/${guide}.md`);

  test('is reached from README', () => {
    expect(read('README.md')).toContain(`](docs/${guide}.md)`);
  });

  test('every variable that is named is one', () => {
    // Codes of errors look like variables.
    for (const line of codeLines(text.split('\n## Errors of the store, by code\n')[0]!)) {
      const name = variableIn(line);
      if (name !== undefined) expect(isVariable(name), `docs/${guide}.md names ${name}`).toBe(true);
    }
  });

  test('its own list of sections names all of them', () => {
    const listed = [...text.matchAll(/^ *- \[([^\]]+)\]\(#/gm)].map((match) => match[1]!);
    const sections = [...text.matchAll(/^## (.+)$/gm)].map((match) => match[1]!);
    const sources = /^(Cloudflare's own words)$/;
    expect(listed.length).toBeGreaterThan(1);
    expect(listed).toEqual(sections.filter((section) => !sources.test(section)));
  });
});

test.each(pages)('%s names no service of docker-compose.yml that is not there', (page) => {
  const services = [.../^services:\n((?: .*\n|\n)+)/m.exec(compose)![1]!.matchAll(/^ {2}([\w-]+):/gm)].map(
    (match) => match[1]!,
  );
  for (const line of codeLines(read(page))) {
    const named = /docker compose (?:up -d|exec|--profile) ([a-z][\w-]*)/.exec(line)?.[1];
    if (named !== undefined) expect(services, `${page} names "${line}"`).toContain(named);
  }
});

describe('the suggested RunPod template', () => {
  const page = read('docs/runpod-template.md');
  const names = blockLines(page, '## Variables').flatMap((line) => variableIn(line) ?? []);

  test('has at most 25 variables, each once', () => {
    expect(names.length).toBeGreaterThan(10);
    expect(names.length).toBeLessThanOrEqual(25);
    expect(new Set(names).size).toBe(names.length);
  });

  test('says of each what it is for, and of no other', () => {
    const explained = tableRows(page, '## Variables').flatMap(([first]) => codeSpans(first!));
    expect(explained.sort()).toEqual([...names].sort());
  });

  test('keeps every secret out of the template', () => {
    const lines = blockLines(page, '## Variables');
    const secrets = (JSON.parse(read('docker/settings.json')) as { name: string; secret?: boolean }[])
      .filter(({ secret }) => secret)
      .map(({ name }) => name);
    for (const name of names) {
      if (!secrets.includes(name) && findSetting(name)?.secret !== true) continue;
      expect(lines).toContain(`${name}={{ RUNPOD_SECRET_${name} }}`);
    }
  });

  test('its boot report is made of lines that the start script writes', () => {
    const scripts = readScripts();
    const shown = blockLines(page, '## The first start').map((line) => line.trim());
    expect(shown.length).toBeGreaterThan(8);
    for (const line of shown) {
      const label = /^\[start\] ([a-z0-9-]+)/.exec(line)?.[1];
      expect(scripts.includes(`report ${label} `) || scripts.includes(`say "${label} `), line).toBe(true);
    }
  });
});

test('the picture of what goes where needs nothing from elsewhere', () => {
  const picture = read('docs/runpod-template.svg').replace('xmlns="http://www.w3.org/2000/svg"', '');
  expect(picture).not.toMatch(/=\s*["']https?:|href|url\(|@import|@font-face|<image|<script/);
  expect(picture).toMatch(/prefers-color-scheme: dark/);
});
