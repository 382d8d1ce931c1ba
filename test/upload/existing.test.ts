import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createLog } from '../../src/log.ts';
import { objectKey } from '../../src/object/key.ts';
import { ExistingObjects, folderPrefix } from '../../src/upload/existing.ts';
import type { ListedObject, Store } from '../../src/upload/store.ts';
import { failure, scriptStore } from './script-store.ts';

const log = createLog({ level: 'silent', secrets: [], stream: { write: () => {} } });
const signal = new AbortController().signal;
const keyTemplate = 'outputs/{path}/{date}/{name}-{hash16}{ext}';

function createExisting(list: Store['list'], backlog = 1000) {
  const listed: string[] = [];
  const store = scriptStore({
    list: (prefix, stop) => {
      listed.push(prefix);
      return list(prefix, stop);
    },
  });
  return { listed, existing: new ExistingObjects({ store, log, keyTemplate, backlogOf: () => backlog }) };
}

const rest = { etag: '"e"', modifiedAt: 0 };

async function* pagesOf(...objects: ListedObject[]) {
  yield* objects;
}

describe('a backlog is compared with one LIST of its folder', () => {
  test('one LIST a folder answers for all of its files, also for those that ask at the same time', async () => {
    const { existing, listed } = createExisting(() => pagesOf({ key: 'outputs/alice/a', size: 5, ...rest }));
    const ask = (key: string, size: number) => existing.has('alice', key, size, signal);
    expect(
      await Promise.all([ask('outputs/alice/a', 5), ask('outputs/alice/a', 6), ask('outputs/alice/b', 5)]),
    ).toEqual([true, false, false]);
    expect(listed).toEqual(['outputs/alice/']);
    await existing.has('bob', 'outputs/bob/a', 5, signal);
    expect(listed).toEqual(['outputs/alice/', 'outputs/bob/']);
    existing.clear();
    await ask('outputs/alice/a', 5);
    expect(listed).toHaveLength(3);
  });

  test('a few files are not worth one', async () => {
    const { existing, listed } = createExisting(() => pagesOf(), 19);
    expect(await existing.has('alice', 'outputs/alice/a', 5, signal)).toBe(false);
    expect(listed).toEqual([]);
  });

  test('where LIST is not allowed nothing is known, once, and nothing fails', async () => {
    const { existing, listed } = createExisting(async function* () {
      yield { key: 'outputs/alice/a', size: 5, ...rest };
      throw failure('refused', 'AccessDenied');
    });
    // What was listed before is true all the same.
    expect(await existing.has('alice', 'outputs/alice/a', 5, signal)).toBe(true);
    expect(await existing.has('alice', 'outputs/alice/b', 5, signal)).toBe(false);
    expect(listed).toHaveLength(1);
  });
});

describe('the prefix that all keys of a folder have', () => {
  test.for<[string, string, string]>([
    [keyTemplate, 'alice', 'outputs/alice/'],
    [keyTemplate, '.', 'outputs/'],
    [keyTemplate, 'strange%name', 'outputs/'],
    [keyTemplate, 'x'.repeat(61), 'outputs/'],
    ['{path}/{name}-{hash16}{ext}', 'alice', 'alice/'],
    ['{hash}{ext}', 'alice', ''],
    ['outputs/{date}/{path}/{name}-{hash}{ext}', 'alice', 'outputs/'],
    ['outputs/{path}-{hash}{ext}', 'alice', 'outputs/'],
  ])('%s, folder %s: "%s"', ([template, folder, prefix]) => {
    expect(folderPrefix(template, folder)).toBe(prefix);
  });

  test('is one, for whatever path and template', () => {
    const folder = fc.stringMatching(/^[\w-][\w .-]{0,70}$/);
    const rest = fc.array(fc.stringMatching(/^[\w ä%-]{1,300}$/), { minLength: 1, maxLength: 6 });
    const template = fc.constantFrom(
      keyTemplate,
      '{path}/{name}-{hash16}{ext}',
      'a/{path}-{hash}{ext}',
      '{hash}',
      'x{path}/{hash}',
    );
    fc.assert(
      fc.property(folder, rest, template, (name, segments, pattern) => {
        const path = `${[name, ...segments].join('/')}.png`;
        const key = objectKey(pattern, 'UTC', { path, mtimeNs: 0n, sha256: 'a'.repeat(64) });
        expect(key.startsWith(folderPrefix(pattern, name))).toBe(true);
      }),
    );
  });
});
