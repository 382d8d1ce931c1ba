import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encodeLine, parseLine } from '../../src/ledger/line.ts';
import { objectKey } from '../../src/object/key.ts';
import { isRelPath } from '../../src/paths.ts';
import { makeFact } from './support.ts';

describe("the ledger's lines", () => {
  it('carry every fact through UTF-8 and back, whatever the name', () => {
    const text = fc.string({ unit: 'binary', minLength: 1 }).filter(isRelPath);
    fc.assert(
      fc.property(text, fc.nat(), fc.bigInt(), fc.boolean(), fc.boolean(), (path, size, mtimeNs, incomplete, moved) => {
        const key = moved
          ? undefined
          : objectKey('{path}/{name}{hash}', 'UTC', { path, mtimeNs, sha256: 'f'.repeat(64) });
        const fact = { ...makeFact(path, '', { size, mtimeNs: mtimeNs % 10n ** 25n, incomplete }), key };
        const line = Buffer.from(encodeLine(fact)).toString();
        expect(line.indexOf('\n')).toBe(line.length - 1);
        expect(parseLine(line.slice(0, -1))).toEqual(fact);
      }),
    );
    const broken = makeFact('alice/\udcff\udc80.png');
    expect(parseLine(Buffer.from(encodeLine(broken)).toString().trim())).toEqual(broken);
  });

  it('mean the same whether they pass the shortcut for plain ones or not', () => {
    const plain = encodeLine(makeFact('alice/a.png')).trim();
    const pieces = ['', '0', '1', '"', '\\', '\\n', '\t', '\u0000', '-', '.5', 'e3', 'ü', '{', ' ', ',"key":"b"'];
    for (let at = 0; at <= plain.length; at += 1) {
      for (const piece of pieces) {
        for (const removed of [0, 1, 2]) {
          const line = plain.slice(0, at) + piece + plain.slice(at + removed);
          // A blank means nothing in JSON, and keeps a line from the shortcut.
          expect(parseLine(line), line).toEqual(parseLine(` ${line}`));
        }
      }
    }
  });

  it('of a newer version are read if their fields are there', () => {
    const line = JSON.parse(encodeLine(makeFact('a.png')));
    expect(parseLine(JSON.stringify({ ...line, v: 7, more: { x: 1 } }))).toEqual(makeFact('a.png'));
    expect(parseLine(JSON.stringify({ ...line, v: 7, sha256: 'blake3:1234' }))).toBeUndefined();
  });

  it.each([
    ['nothing', ''],
    ['no JSON', '{"v":1,'],
    ['null', 'null'],
    ['a list', '[]'],
    ['a text', '"x"'],
    ['zero bytes', '\0\0\0\0'],
    ...['v', 'path', 'size', 'mtimeNs', 'sha256', 'storedAt'].map((name) => [
      `no ${name}`,
      JSON.stringify({ ...JSON.parse(encodeLine(makeFact('a.png'))), [name]: undefined }),
    ]),
    ['a key that is no text', JSON.stringify({ ...JSON.parse(encodeLine(makeFact('a.png'))), key: 7 })],
    ['a moment that has no date', JSON.stringify({ ...JSON.parse(encodeLine(makeFact('a.png'))), storedAt: 9e15 })],
    ['a path that leads out', JSON.stringify({ ...JSON.parse(encodeLine(makeFact('a.png'))), path: 'a/../../b.png' })],
    ['an absolute path', JSON.stringify({ ...JSON.parse(encodeLine(makeFact('a.png'))), path: '/etc/a.png' })],
    [
      'a path that no bytes make',
      JSON.stringify({ ...JSON.parse(encodeLine(makeFact('a.png'))), path: 'a\ud800.png' }),
    ],
    ['a key over 1,024 bytes', JSON.stringify({ ...JSON.parse(encodeLine(makeFact('a.png'))), key: 'ü'.repeat(513) })],
    ['half a byte', JSON.stringify({ ...JSON.parse(encodeLine(makeFact('a.png'))), size: 0.5 })],
    ['more bytes than can be counted', JSON.stringify({ ...JSON.parse(encodeLine(makeFact('a.png'))), size: 2 ** 53 })],
    ['a negative size', JSON.stringify({ ...JSON.parse(encodeLine(makeFact('a.png'))), size: -1 })],
  ])('are left out when they hold %s', (_, line) => {
    expect(parseLine(line!)).toBeUndefined();
  });
});
