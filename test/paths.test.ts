import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  decodeName,
  directoryOf,
  encodeName,
  extensionOf,
  folderOf,
  fsPath,
  joinPath,
  nameOf,
  printable,
} from '../src/paths.ts';

/** Bytes as they occur: text, text with broken bytes in it, and noise. Long enough to break characters apart. */
const anyBytes = fc
  .array(
    fc.oneof(
      fc.string({ unit: 'binary', maxLength: 8 }).map((text) => Buffer.from(text)),
      fc.uint8Array({ maxLength: 8 }).map((bytes) => Buffer.from(bytes)),
      // The beginnings of characters, surrogates in UTF-8's manner, and overlong forms.
      fc.constantFrom('f09f98', 'e282', 'c3', 'eda080', 'edb280', 'c0af', 'f4908080', 'ff').map(hex),
    ),
    { maxLength: 12 },
  )
  .map((pieces) => Buffer.concat(pieces));

describe('a name that is not UTF-8 is a name like any other', () => {
  it('any bytes survive the way through a string', () => {
    fc.assert(fc.property(anyBytes, (bytes) => encodeName(decodeName(bytes)).equals(bytes)));
  });

  it('different bytes are different strings', () => {
    fc.assert(fc.property(anyBytes, anyBytes, (a, b) => (decodeName(a) === decodeName(b)) === a.equals(b)));
  });

  it('any bytes survive JSON, as the ledger keeps them', () => {
    fc.assert(
      fc.property(anyBytes, (bytes) => encodeName(JSON.parse(JSON.stringify(decodeName(bytes)))).equals(bytes)),
    );
  });

  it('valid UTF-8 is itself', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        expect(decodeName(Buffer.from(text))).toBe(text);
        expect(fsPath(text)).toBe(text);
      }),
    );
  });

  it('slashes stay slashes: the parts of a decoded path are the decoded parts', () => {
    fc.assert(
      fc.property(fc.array(anyBytes, { minLength: 1, maxLength: 4 }), (parts) => {
        const path = decodeName(Buffer.from(parts.map((part) => part.toString('latin1')).join('/'), 'latin1'));
        const split = parts.flatMap((part) => part.toString('latin1').split('/'));
        expect(path.split('/')).toEqual(split.map((part) => decodeName(Buffer.from(part, 'latin1'))));
      }),
    );
  });

  it('the file system finds the file by the string that readdir gave', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'r2-sync-paths-'));
    try {
      const bytes = hex('62ff61c328646ff09f9880');
      await writeFile(Buffer.concat([Buffer.from(`${dir}/`), bytes]), 'content');
      const [raw] = await readdir(dir, { encoding: 'buffer' });
      expect(raw).toEqual(bytes);
      expect(await readFile(fsPath(`${dir}/${decodeName(raw!)}`), 'utf8')).toBe('content');
    } finally {
      await rm(dir, { recursive: true });
    }
  });
});

describe('parts of a path', () => {
  it.each([
    ['a.png', { folder: '.', directory: '', name: 'a.png', extension: '.png' }],
    ['alice/a.PNG', { folder: 'alice', directory: 'alice', name: 'a.PNG', extension: '.png' }],
    ['alice/x/y.tar.gz', { folder: 'alice', directory: 'alice/x', name: 'y.tar.gz', extension: '.gz' }],
    ['alice/.png', { folder: 'alice', directory: 'alice', name: '.png', extension: '' }],
    ['a.b/c', { folder: 'a.b', directory: 'a.b', name: 'c', extension: '' }],
    ['c.', { folder: '.', directory: '', name: 'c.', extension: '.' }],
  ])('%s', (path, expected) => {
    expect({
      folder: folderOf(path),
      directory: directoryOf(path),
      name: nameOf(path),
      extension: extensionOf(path),
    }).toEqual(expected);
    expect(joinPath(directoryOf(path), nameOf(path))).toBe(path);
  });
});

describe('what people see', () => {
  it.each([
    ['two\nlines', 'two\\nlines'],
    ['\u001b[31mred', '\\u001b[31mred'],
    [decodeName(hex('61ff')), 'a\\xff'],
    ['abc\u202egnp.exe', 'abc\\u202egnp.exe'],
    ['猫 😀 & + # %.png', '猫 😀 & + # %.png'],
  ])('%j is shown as %s', (path, shown) => {
    expect(printable(path)).toBe(shown);
  });

  it('nothing that a terminal obeys is left, and what is shown is valid text', () => {
    fc.assert(
      fc.property(anyBytes, (bytes) => {
        const shown = printable(decodeName(bytes));
        expect(shown).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u202a-\u202e]/);
        expect(shown.isWellFormed()).toBe(true);
      }),
    );
  });
});

function hex(text: string): Buffer {
  return Buffer.from(text, 'hex');
}
