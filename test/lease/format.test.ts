import { describe, expect, test } from 'vitest';
import { type Claim, encodeBeat, encodeClaim, parseBeat, parseClaim } from '../../src/lease/format.ts';

const process = { pid: 7, startTime: '1', pidNamespace: 'pid:[1]', bootId: 'b', pod: 'ffee' };
const at = '2026-11-20T12:00:00.000Z';
const claim: Claim = { epoch: 3, folder: 'alice', host: 'gpu-1', agent: '1.0.0', nonce: 'n', process, since: at };
const beat = { epoch: 3, counter: 1, released: false, at };

describe('claims', () => {
  test('tell a person who holds what since when, and come back as they were written', () => {
    const text = encodeClaim(claim);
    expect(JSON.parse(text)).toEqual({ v: 1, ...claim });
    expect(parseClaim(text, 3)).toEqual({ v: 1, ...claim });
  });

  test('of a newer version are read as long as they say what this one needs', () => {
    const newer = JSON.stringify({ ...claim, v: 2, shared: ['more'] });
    expect(parseClaim(newer, 3)).toMatchObject(claim);
    expect(parseClaim(JSON.stringify({ v: 2, epoch: 3, holder: 'renamed' }), 3)).toBeUndefined();
  });

  test.each([
    ['nothing', undefined],
    ['an empty file', ''],
    ['a torn one', encodeClaim(claim).slice(0, -20)],
    ['no JSON', 'held by alice\n'],
    ['JSON that is no object', '3'],
    ['null', 'null'],
    ['another epoch than its name says', encodeClaim({ ...claim, epoch: 4 })],
    ['a field of another type', JSON.stringify({ ...claim, nonce: 5 })],
    ['no process', JSON.stringify({ ...claim, process: null })],
    ['a process whose number is none', JSON.stringify({ ...claim, process: { ...process, pid: -1 } })],
    ['a process without a number', JSON.stringify({ ...claim, process: { ...process, pid: '7' } })],
  ])('can be %s: then they say nothing', (_, text) => {
    expect(parseClaim(text, 3)).toBeUndefined();
  });
});

describe('beats', () => {
  test('have one length, whatever they say', () => {
    const lengths = [beat, { ...beat, epoch: 2 ** 40 - 1, counter: 2 ** 53 - 1, released: true }].map((one) =>
      Buffer.byteLength(encodeBeat(one)),
    );
    expect(new Set(lengths).size).toBe(1);
    expect(parseBeat(encodeBeat({ ...beat, released: true }), 3)).toEqual({ ...beat, released: true });
  });

  test.each([
    ['nothing', undefined],
    ['an empty file', ''],
    ['a torn one', encodeBeat(beat).slice(0, 40)],
    ['the beat of another epoch', encodeBeat({ ...beat, epoch: 2, released: true })],
    ['without a counter', JSON.stringify({ epoch: 3, released: true, at })],
  ])('can be %s: then nothing was given back', (_, text) => {
    expect(parseBeat(text, 3)).toBeUndefined();
  });

  test('only the word itself gives a folder back', () => {
    expect(parseBeat(JSON.stringify({ ...beat, released: 'yes' }), 3)!.released).toBe(false);
  });
});
