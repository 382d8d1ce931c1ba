// The pages that people read, and what is in them.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../', import.meta.url));

const codeBlock = /^ *```[^\n]*\n[\s\S]*?^ *```$/gm;

/** The pages, by path from the root of the repository. */
export const pages = [
  'README.md',
  'CHANGELOG.md',
  'CONTRIBUTING.md',
  'SECURITY.md',
  'bench/README.md',
  ...pagesIn('docs'),
];

function pagesIn(directory: string): string[] {
  return readdirSync(root + directory)
    .filter((name) => name.endsWith('.md'))
    .map((name) => `${directory}/${name}`);
}

export function read(path: string): string {
  return readFileSync(root + path, 'utf8');
}

export function isThere(path: string): boolean {
  return existsSync(root + path);
}

/** All of the agent's source, with escaped quotes as people see them. */
export function readSource(): string {
  return readdirSync(`${root}src`, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => read(`src/${name}`).replace(/\\(['"`])/g, '$1'))
    .join('\n');
}

/** What ComfyUI's page shows of us, with pieces of one message that stand on several lines put together. */
export function readExtension(): string {
  return ['__init__.py', 'web/badge.js']
    .map((name) => read(`docker/nodes/r2-sync/${name}`).replace(/"\n\s*"/g, ''))
    .join('\n');
}

/** The image's scripts, with pieces of one message that stand on several lines put together, as people see them. */
export function readScripts(): string {
  return ['start.sh', 'download_models.sh', ...scriptsIn('docker/start'), ...scriptsIn('docker/downloads')]
    .map((path) =>
      read(path)
        .replace(/(["']) \\\n\s*["']/g, ' ')
        .replace(/\\(["'`$])/g, '$1')
        .replace(/'"'"'/g, "'"),
    )
    .join('\n');
}

function scriptsIn(directory: string): string[] {
  return readdirSync(root + directory)
    .filter((name) => name.endsWith('.sh'))
    .map((name) => `${directory}/${name}`);
}

/** The lines of the code blocks below a heading. */
export function blockLines(text: string, heading: string): string[] {
  return (sectionOf(text, heading).match(codeBlock) ?? []).flatMap((block) => block.split('\n').slice(1, -1));
}

/** Every `code span` of a text, code blocks left out. */
export function codeSpans(text: string): string[] {
  return [...withoutBlocks(text).matchAll(/`([^`\n]+)`/g)].map((match) => match[1]!);
}

/** Every code span and every line of a code block. */
export function codeLines(text: string): string[] {
  const blocks = text.match(codeBlock) ?? [];
  return [
    ...codeSpans(text),
    ...blocks.flatMap((block) =>
      block
        .split('\n')
        .slice(1, -1)
        .map((line) => line.trim()),
    ),
  ];
}

export function withoutBlocks(text: string): string {
  return text.replace(codeBlock, '');
}

/** The cells of every row of every table below a heading, up to the next heading of the same level. */
export function tableRows(text: string, heading: string): string[][] {
  return sectionOf(text, heading)
    .split('\n')
    .filter((line) => line.startsWith('| ') && !line.startsWith('| ---'))
    .map((line) =>
      line
        .slice(1, -1)
        .split('|')
        .map((cell) => cell.trim()),
    );
}

function sectionOf(text: string, heading: string): string {
  const start = text.indexOf(`\n${heading}\n`);
  if (start === -1) throw new Error(`there is no heading "${heading}"`);
  const body = text.slice(start + heading.length + 2);
  const end = body.search(new RegExp(`^${heading.split(' ')[0]} `, 'm'));
  return end === -1 ? body : body.slice(0, end);
}

/** The anchors that GitHub gives to headings. */
export function anchorsOf(text: string): string[] {
  return [...withoutBlocks(text).matchAll(/^#+ (.+)$/gm)].map(([, heading]) =>
    heading!
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, '')
      .replace(/\s/g, '-'),
  );
}
