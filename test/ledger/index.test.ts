import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LedgerIndex } from '../../src/ledger/index.ts';
import { directoryOf, folderOf, nameOf } from '../../src/paths.ts';
import { makeFact } from './support.ts';

const text = (_: string, value: unknown) => (typeof value === 'bigint' ? String(value) : value);

describe('what is known to be in the bucket, in memory', () => {
  it('gives back exactly what was set', () => {
    const index = new LedgerIndex();
    const facts = [
      makeFact('root.png'),
      makeFact('alice/a.png', 'pixels', { incomplete: true }),
      makeFact('alice/deep/er/ü 😀\n.png'),
      makeFact('bob/\udcff broken.png'),
      makeFact('bob/old.png', 'x', { mtimeNs: -1_000_000_000n }),
      makeFact('bob/far.png', 'x', { mtimeNs: 15_000_000_000_000_000_000n }),
      makeFact('bob/huge.mp4', 'x', { size: 2 ** 45 }),
    ];
    for (const fact of facts) expect(index.set(fact)).toBe('added');
    for (const fact of facts) expect(index.set(fact)).toBe('none');
    expect(index.set({ ...facts[0]!, storedAt: 7 })).toBe('replaced');
    expect(index.set(facts[0]!)).toBe('replaced');
    for (const { path, key: _, ...known } of facts) {
      expect(index.get(path)).toEqual(known);
      expect(index.matches(path, known.size, known.mtimeNs)).toBe(true);
      expect(index.matches(path, known.size + 1, known.mtimeNs)).toBe(false);
      expect(index.matches(path, known.size, known.mtimeNs + 1n)).toBe(false);
      expect(index.storedAt(path)).toBe(known.storedAt);
    }
    expect(index.size).toBe(facts.length);
    expect(index.get('alice')).toBeUndefined();
  });

  it('stays equal to a plain map through sets and deletions', () => {
    const path = fc.constantFrom('a.png', 'b.png', 'x/a.png', 'x/b.png', 'x/y/a.png', 'z/\udc80.png');
    const step = fc.record({
      path,
      remove: fc.boolean(),
      content: fc.string(),
      incomplete: fc.boolean(),
      storedAt: fc.nat(),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const index = new LedgerIndex();
        const model = new Map<string, ReturnType<typeof makeFact>>();
        for (const { path, remove, content, incomplete, storedAt } of steps) {
          if (remove) {
            index.delete(path);
            model.delete(path);
          } else {
            const fact = makeFact(path, content, { incomplete, storedAt });
            const before = model.get(path);
            const changes = before && JSON.stringify(before, text) === JSON.stringify(fact, text) ? 'none' : 'replaced';
            expect(index.set(fact)).toBe(before ? changes : 'added');
            model.set(path, fact);
          }
        }
        expect(index.size).toBe(model.size);
        for (const [path, { path: _, key: __, ...known }] of model) expect(index.get(path)).toEqual(known);
        for (const dir of ['', 'x', 'x/y', 'z']) {
          const names = [...model.keys()].filter((path) => directoryOf(path) === dir).map(nameOf);
          expect([...index.names(dir)].sort()).toEqual(names.sort());
        }
        for (const folder of ['.', 'x', 'z']) {
          const facts = [...model.values()].filter((fact) => folderOf(fact.path) === folder);
          const row = [...index.folders()].find((row) => row.folder === folder);
          expect(row?.files ?? 0).toBe(facts.length);
          expect(row?.bytes ?? 0).toBe(facts.reduce((sum, fact) => sum + fact.size, 0));
          expect(row?.incomplete ?? 0).toBe(facts.filter((fact) => fact.incomplete).length);
        }
      }),
    );
  });

  it('knows thousands of files, and uses the room of deleted ones again', () => {
    const index = new LedgerIndex();
    for (let round = 0; round < 3; round++) {
      for (let i = 0; i < 5000; i++) index.set(makeFact(`f${i % 7}/${i}.png`, `${round} ${i}`));
      expect(index.size).toBe(5000);
      for (let i = 0; i < 5000; i += 2) index.delete(`f${i % 7}/${i}.png`);
      expect(index.size).toBe(2500);
      expect(index.get('f1/1.png')?.sha256).toBe(makeFact('', `${round} 1`).sha256);
      expect(index.get('f0/0.png')).toBeUndefined();
    }
  });
});
