import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { BucketObject } from '../../src/bucket/inventory.ts';
import { planRestore } from '../../src/bucket/restore-plan.ts';
import { createSelection } from '../../src/bucket/selection.ts';
import { parseDuration, parseSince } from '../../src/commands/times.ts';
import { refusePath } from '../../src/paths.ts';
import { hashOf } from '../upload/store.contract.ts';

const TEMPLATE = 'outputs/{path}/{date}/{name}-{hash16}{ext}';

function object(path: string | undefined, content: string, more: Partial<BucketObject> = {}): BucketObject {
  const sha256 = hashOf(Buffer.from(content));
  return {
    key: `outputs/2026-11-20/${path?.replaceAll('/', '_')}-${sha256.slice(0, 16)}`,
    size: content.length,
    modifiedAt: 0,
    path,
    mtimeNs: 1_000_000_000n,
    sha256,
    incomplete: false,
    rejected: undefined,
    ...more,
  };
}

/** What comes back under which name: the content's hash by path. */
function planned(objects: BucketObject[]): Record<string, string | undefined> {
  return Object.fromEntries(planRestore(objects, TEMPLATE).entries.map(({ path, sha256 }) => [path, sha256]));
}

const hash = (content: string) => hashOf(Buffer.from(content));
const beside = (stem: string, content: string, ext: string) => `${stem}-${hash(content).slice(0, 16)}${ext}`;

describe('each object comes back under the name that its file had', () => {
  test('a name with several contents gives all of them: the newest has its name, the others the hash before the extension', () => {
    const objects = [
      object('a/x.tar.gz', 'old', { mtimeNs: 1n }),
      object('a/x.tar.gz', 'newest', { mtimeNs: 3n }),
      object('a/x.tar.gz', 'middle', { mtimeNs: 2n }),
    ];
    const expected = {
      'a/x.tar.gz': hash('newest'),
      [beside('a/x.tar', 'middle', '.gz')]: hash('middle'),
      [beside('a/x.tar', 'old', '.gz')]: hash('old'),
    };
    expect(planned(objects)).toEqual(expected);
    expect(planned(objects.toReversed())).toEqual(expected);
  });

  test('the same bytes under the same name come back once, however often they were stored', () => {
    const twice = [object('x.png', 'a', { mtimeNs: 1n, key: 'outputs/1' }), object('x.png', 'a', { mtimeNs: 2n })];
    expect(
      planned([...twice, object('x.png', 'b', { mtimeNs: 0n }), object('x.png', 'b', { mtimeNs: 0n, key: 'k' })]),
    ).toEqual({
      'x.png': hash('a'),
      [beside('x', 'b', '.png')]: hash('b'),
    });
  });

  test('the name beside is never another file’s; where it has these very bytes, they come back once', () => {
    const place = beside('x', 'old', '.png');
    const two = [object('x.png', 'old', { mtimeNs: 0n }), object('x.png', 'new')];
    expect(planned([...two, object(place, 'old')])).toEqual({ 'x.png': hash('new'), [place]: hash('old') });
    expect(planned([...two, object(place, 'other')])).toEqual({
      'x.png': hash('new'),
      [place]: hash('other'),
      [`x-${hash('old')}.png`]: hash('old'),
    });
  });

  test('a name that is a file in one object and a directory in another gives both', () => {
    expect(planned([object('a', 'file'), object('a/b.png', 'deeper'), object('a/b.png/c', 'deepest')])).toEqual({
      [beside('a', 'file', '')]: hash('file'),
      [beside('a/b', 'deeper', '.png')]: hash('deeper'),
      'a/b.png/c': hash('deepest'),
    });
  });

  test('an object without a path has the name that its key tells; a place holder for a directory is no file', () => {
    const none = { path: undefined, sha256: undefined, mtimeNs: undefined };
    const plan = planRestore(
      [
        {
          ...object('', ''),
          ...none,
          key: `outputs/alice/2026-11-20/${'x'.repeat(250)}-0011223344556677.png`,
          modifiedAt: 5,
        },
        { ...object('', ''), ...none, key: 'outputs/holiday/b.jpg' },
        { ...object('', ''), ...none, key: 'outputs/alice/', size: 0 },
        { ...object('', ''), ...none, key: 'outputs/', size: 0 },
      ],
      TEMPLATE,
    );
    expect(plan.entries.map(({ path, mtimeNs }) => [path, mtimeNs])).toEqual([
      [`alice/${'x'.repeat(250)}.png`, 5_000_000n],
      ['holiday/b.jpg', 0n],
    ]);
    expect(plan.failures).toEqual([]);
  });

  test.each([
    ['outputs/../../x.png', 'leads out'],
    ['outputs//etc/passwd', 'absolute'],
    ['outputs/a/./x', 'empty name'],
    [`outputs/${'x'.repeat(300)}`, 'longer than 255'],
    ['outputs/.r2-sync/0011/alice/ledger.9.jsonl', 'hidden'],
  ])('the key %j of a foreign object is no name: it is listed, and nothing is made', (key, why) => {
    const plan = planRestore([{ ...object(undefined, 'x'), key }], TEMPLATE);
    expect(plan.entries).toEqual([]);
    expect(plan.failures).toEqual([{ key, path: undefined, reason: expect.stringContaining(why) }]);
  });

  test('whatever is in the bucket: no two files share a name, none is on another’s way, all are names, nothing is lost', () => {
    const name = fc.constantFrom('a', 'b', 'a.png', 'b.png', beside('a', '0', '.png'), beside('a', '1', ''));
    const path = fc.array(name, { minLength: 1, maxLength: 3 }).map((names) => names.join('/'));
    const any = fc.record({ path, content: fc.constantFrom('0', '1', '2'), mtimeNs: fc.bigInt({ min: 0n, max: 2n }) });
    fc.assert(
      fc.property(fc.array(any, { maxLength: 12 }), (all) => {
        const objects = all.map((one, n) =>
          object(one.path, one.content, { mtimeNs: one.mtimeNs, key: `outputs/${n}` }),
        );
        const { entries, failures } = planRestore(objects, TEMPLATE);
        const paths = entries.map((entry) => entry.path);
        expect(failures).toEqual([]);
        expect(new Set(paths).size).toBe(paths.length);
        for (const one of paths) {
          expect(refusePath(one)).toBeUndefined();
          expect(paths.some((other) => other.startsWith(`${one}/`))).toBe(false);
        }
        const contents = new Set(objects.map(({ sha256 }) => sha256));
        expect(new Set(entries.map(({ sha256 }) => sha256))).toEqual(contents);
      }),
    );
  });
});

describe('which files are meant', () => {
  test.each([
    [{ folders: ['alice'] }, ['alice/x.png', 'alice/sub/y.mp4']],
    [{ folders: ['.', 'bob'] }, ['root.png', 'bob/x.png']],
    [{ match: ['*.mp4'] }, ['alice/sub/y.mp4']],
    [{ match: ['alice/*'] }, ['alice/x.png']],
    [{ match: ['bob/**', 'root.*'] }, ['root.png', 'bob/x.png']],
    [{ below: 'alice/sub' }, ['alice/sub/y.mp4']],
    [{}, ['root.png', 'alice/x.png', 'alice/sub/y.mp4', 'bob/x.png']],
  ])('%j', (selection, expected) => {
    const isSelected = createSelection(selection);
    const all = ['root.png', 'alice/x.png', 'alice/sub/y.mp4', 'bob/x.png'];
    expect(all.filter((path) => isSelected(path, 0))).toEqual(expected);
  });

  test('since: by when the file was written', () => {
    const isSelected = createSelection({ sinceMs: 1000 });
    expect([999, 1000, 1001].map((at) => isSelected('x', at))).toEqual([false, true, true]);
  });

  const noon = Date.parse('2026-11-20T12:00:00Z');
  test.each([
    ['24h', '2026-11-19T12:00:00Z'],
    ['7d', '2026-11-13T12:00:00Z'],
    ['90 min', '2026-11-20T10:30:00Z'],
    ['2W', '2026-11-06T12:00:00Z'],
    ['2026-11-01', '2026-11-01T00:00:00Z'],
    ['2026-11-01 10:30', '2026-11-01T10:30:00Z'],
    ['2026-11-01T10:30:05', '2026-11-01T10:30:05Z'],
    ['2026-11-01T10:30+02:00', '2026-11-01T08:30:00Z'],
  ])('--since %s is %s', (text, iso) => {
    expect(parseSince(text, noon)).toBe(Date.parse(iso));
  });

  test.each(['', 'x', '-1h', '0d', '1y', '1.5h', '2026-13-01', '20261101', 'yesterday', '2026-11-01T25:00'])(
    '%j is no time',
    (text) => {
      expect(parseSince(text, noon)).toBeUndefined();
      expect(parseDuration(text)).toBeUndefined();
    },
  );
});
