import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { configurationPage, settingsHelp } from '../../src/config/document.ts';
import { namesOf, settings } from '../../src/config/names.ts';

test('docs/configuration.md is current', () => {
  const page = readFileSync(new URL('../../docs/configuration.md', import.meta.url), 'utf8');
  expect(page === configurationPage(), 'docs/configuration.md is out of date: run `npm run docs` and commit it').toBe(
    true,
  );
});

test('page and --help name every setting there is, under each of its names', () => {
  const page = configurationPage();
  const help = settingsHelp();
  for (const name of settings.flatMap(namesOf)) {
    expect(page).toContain(`\`${name}\``);
    expect(help).toMatch(new RegExp(`^  .*\\b${name}\\b`, 'm'));
  }
});

test('--help fits a terminal of 100 columns', () => {
  for (const line of settingsHelp().split('\n')) expect(line.length).toBeLessThanOrEqual(100);
});

test('every default and every example that we print is a value that we take', () => {
  for (const { name, schema, secret, ...setting } of settings) {
    if (setting.default !== undefined)
      expect(schema.safeParse(setting.default).success, `default of ${name}`).toBe(true);
    // Examples of secrets, and the account's address, are to be filled in.
    const complete = !secret && !setting.example.includes('<');
    if (complete) expect(schema.safeParse(setting.example).success, `example of ${name}`).toBe(true);
  }
});
