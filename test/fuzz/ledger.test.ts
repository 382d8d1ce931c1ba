// The ledger, claims, beats and notes lie on a volume that others write to, and machines die while they are written:
// whatever is in them, what is read is well-formed, and good lines around garbage are all still there.
import * as fs from 'node:fs/promises';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { epochOf } from '../../src/lease/files.ts';
import { type Claim, encodeBeat, encodeClaim, parseBeat, parseClaim } from '../../src/lease/format.ts';
import { readLeases } from '../../src/lease/survey.ts';
import { fileIo } from '../../src/ledger/io.ts';
import { encodeLine, type LedgerFact, parseLine } from '../../src/ledger/line.ts';
import { readFolder } from '../../src/ledger/reader.ts';
import { epochOfSegment, FOREIGN_EPOCH, segmentName } from '../../src/ledger/segment.ts';
import { decodeName, encodeName } from '../../src/paths.ts';
import { identifyProcess, isProvablyDead } from '../../src/process-identity.ts';
import { MultipartJournal } from '../../src/upload/multipart-journal.ts';
import { collectLog, makeFact } from '../ledger/support.ts';
import { createFakeClock } from '../support/fake-clock.ts';
import { scriptStore } from '../upload/script-store.ts';
import { damaged, fuzz, oddJson, oddNumber } from './fuzz.ts';

let base: string;
beforeAll(async () => {
  base = await mkdtemp(join(tmpdir(), 'r2-sync-fuzz-'));
});
afterAll(() => rm(base, { recursive: true }));

const good: fc.Arbitrary<LedgerFact> = fc
  .record({
    path: fc
      .array(
        fc
          .string({ unit: 'binary', minLength: 1, maxLength: 12 })
          .filter((name) => /^[^./\0]/u.test(name) && !/[/\0]/.test(name)),
        { minLength: 1, maxLength: 3 },
      )
      .map((names) => names.join('/')),
    content: fc.string(),
    storedAt: fc.nat(),
    incomplete: fc.boolean(),
  })
  .map(({ path, content, ...rest }) => makeFact(path, content, rest));

/** Everything that the rest of the agent takes for granted about a fact. */
function expectWellFormed(fact: LedgerFact): void {
  const names = fact.path.split('/');
  for (const name of names) expect(['', '.', '..']).not.toContain(name);
  expect(fact.path).not.toContain('\0');
  expect(decodeName(encodeName(fact.path))).toBe(fact.path);
  expect(Number.isSafeInteger(fact.size) && fact.size >= 0).toBe(true);
  expect(fact.sha256).toMatch(/^[0-9a-f]{64}$/);
  expect(typeof fact.mtimeNs).toBe('bigint');
  expect(new Date(fact.storedAt).toISOString()).toMatch(/^\+?\d/);
  expect(typeof fact.incomplete).toBe('boolean');
  if (fact.key === undefined) return;
  expect(fact.key.isWellFormed()).toBe(true);
  expect(Buffer.byteLength(fact.key)).toBeGreaterThan(0);
  expect(Buffer.byteLength(fact.key)).toBeLessThanOrEqual(1024);
  for (const segment of fact.key.split('/')) expect(['', '.', '..']).not.toContain(segment);
}

const fields = ['v', 'path', 'size', 'mtimeNs', 'sha256', 'key', 'storedAt', 'incomplete', '__proto__'];
const oddText = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.constantFrom(
    '',
    '.',
    '..',
    '/',
    '/etc/passwd',
    '../x',
    'a/../../x',
    'a//b',
    'a/',
    './a',
    'a/.',
    'a\0b',
    '\ud800',
    'a\udcc3\udca9',
    '\udcff/\udc80.png',
    '__proto__',
    '__proto__/constructor',
  ),
  fc.constantFrom('9'.repeat(400), '-1', '1e3', '0x10', ' 1', '1\n', 'f'.repeat(64), 'F'.repeat(64), 'f'.repeat(63)),
  fc.integer({ min: 1020, max: 5000 }).map((length) => 'ü'.repeat(length)),
);
/** A line that is JSON, some of its fields being something else. */
const oddLine = fc
  .tuple(
    good,
    fc.dictionary(fc.constantFrom(...fields), fc.oneof({ weight: 3, arbitrary: oddText }, oddNumber, oddJson), {
      maxKeys: 3,
    }),
  )
  .map(([fact, changes]) => {
    const line = JSON.parse(encodeLine(fact));
    return JSON.stringify({
      ...line,
      ...changes,
      ...(Object.hasOwn(changes, '__proto__') ? JSON.parse('{"__proto__":{"path":"x","v":1}}') : {}),
    });
  });
const garbage: fc.Arbitrary<Buffer> = fc.oneof(
  fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
  oddLine.map((line) => Buffer.from(line)),
  good.chain((fact) => damaged(Buffer.from(encodeLine(fact).trimEnd()))),
  oddJson.map((value) => Buffer.from(JSON.stringify(value) ?? '')),
  fc.constantFrom('[', '{"a":').map((opening) => Buffer.from(opening.repeat(20_000))),
  fc.constantFrom('\0', '\0\0\0\0', '\xff\xfe', '\r', '{}', 'null', '1e999').map((text) => Buffer.from(text, 'latin1')),
  fc.constantFrom(70_000, 300_000, 600_000).map((length) => Buffer.alloc(length, '{"v":1,"path":"')),
);

/** The facts that a folder's directory gives, in their order. */
async function readAll(dir: string): Promise<LedgerFact[]> {
  const facts: LedgerFact[] = [];
  const take = (fact: LedgerFact) => {
    facts.push(fact);
    return false;
  };
  // A hole of NUL bytes is read again after a moment: here nobody is writing it.
  const clock = { ...createFakeClock(0), sleep: async () => {} };
  await readFolder({ io: fileIo, clock, log: collectLog().log, take }, dir);
  return facts;
}

async function writeSegment(name: string, ...pieces: Buffer[]): Promise<string> {
  const dir = await mkdtemp(join(base, 'folder-'));
  await writeFile(join(dir, name), Buffer.concat(pieces));
  return dir;
}

const lineEnd = Buffer.from('\n');

describe("the ledger's reader", () => {
  fuzz(
    'one line, whatever it is: a fact that is well-formed, or none',
    3000,
    fc.property(fc.oneof(oddLine, garbage.map(String)), (text) => {
      const fact = parseLine(text);
      if (fact !== undefined) expectWellFormed(fact);
      expect(({} as { path?: unknown }).path).toBeUndefined();
    }),
  );

  fuzz(
    'garbage between good lines: all of these are read, in their order, and what else is read is well-formed',
    120,
    fc.asyncProperty(fc.array(fc.tuple(good, garbage), { maxLength: 12 }), garbage, async (pairs, torn) => {
      const pieces = pairs.flatMap(([fact, between]) => [Buffer.from(encodeLine(fact)), between, lineEnd]);
      const dir = await writeSegment('ledger.1.jsonl', ...pieces, torn);
      const facts = await readAll(dir);
      for (const fact of facts) expectWellFormed(fact);
      const wanted = pairs.map(([fact]) => fact);
      let next = 0;
      for (const fact of facts)
        if (
          next < wanted.length &&
          fact.path === wanted[next]!.path &&
          fact.storedAt === wanted[next]!.storedAt &&
          fact.sha256 === wanted[next]!.sha256
        )
          next += 1;
      expect(next).toBe(wanted.length);
      await rm(dir, { recursive: true });
    }),
  );

  fuzz(
    'a writer killed at any byte: what was written before, whole lines of it, and no more',
    150,
    fc.asyncProperty(
      fc.array(good, { minLength: 1, maxLength: 8 }),
      fc.nat(),
      fc.constantFrom(0, 0, 1, 64),
      async (facts, place, zeros) => {
        const bytes = Buffer.from(facts.map(encodeLine).join(''));
        // Every other time at the end of a line, or just before it.
        const ends = [...bytes.keys()].filter((index) => bytes[index] === 0x0a);
        const cut =
          place % 2 === 0 ? place % (bytes.length + 1) : ends[place % ends.length]! + (place % 4 === 1 ? 0 : 1);
        // Some file systems leave zeros where the bytes didn't come to.
        const dir = await writeSegment('ledger.1.jsonl', bytes.subarray(0, cut), Buffer.alloc(zeros));
        const whole = bytes.subarray(0, cut).filter((byte) => byte === 0x0a).length;
        expect(await readAll(dir)).toEqual(facts.slice(0, whole));
        await rm(dir, { recursive: true });
      },
    ),
  );

  test('a line of 40 MB between two good ones takes no memory of its size', async () => {
    const [one, two] = [makeFact('a.png'), makeFact('b.png')];
    const dir = await writeSegment(
      'ledger.1.jsonl',
      Buffer.from(encodeLine(one)),
      Buffer.alloc(40 << 20, '[{'),
      lineEnd,
      Buffer.from(encodeLine(two)),
    );
    const before = process.memoryUsage().arrayBuffers;
    expect(await readAll(dir)).toEqual([one, two]);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(4 << 20);
  });

  fuzz(
    'names of files: only those that the agent makes are segments, claims and beats, and their numbers come back',
    2000,
    fc.property(
      fc.oneof(
        fc.string({ unit: 'binary' }),
        fc
          .tuple(
            fc.constantFrom('ledger', 'lease', 'beat', '__proto__'),
            fc.oneof(fc.string(), oddNumber.map(String), fc.nat().map(String)),
            fc.constantFrom('', '.c-1', '.r-1', '.'),
            fc.constantFrom('.json', '.jsonl', '.json\n', ''),
          )
          .map(([kind, number, part, end]) => `${kind}.${number}${part}${end}`),
      ),
      (name) => {
        for (const epoch of [epochOfSegment(name), epochOf('lease', name), epochOf('beat', name)]) {
          if (epoch === undefined) continue;
          expect(Number.isSafeInteger(epoch) && epoch >= 0 && epoch < FOREIGN_EPOCH).toBe(true);
          expect(name).toMatch(/^(?:ledger|lease|beat)\.\d+(?:\.[A-Za-z0-9-]+)?\.jsonl?$/);
        }
      },
    ),
  );

  fuzz(
    'every number that a segment can have comes back from its name',
    300,
    fc.property(fc.nat(FOREIGN_EPOCH - 1), fc.option(fc.uuid(), { nil: undefined }), (epoch, part) => {
      expect(epochOfSegment(segmentName(epoch, part))).toBe(epoch);
    }),
  );
});

const self = identifyProcess('ours');
const at = '2026-11-20T12:00:00.000Z';
const claim: Claim = { epoch: 3, folder: 'alice', host: 'gpu-1', agent: '1.0.0', nonce: 'n', process: self, since: at };
/** What a field may be in place of what it should: the usual mistakes first. */
const oddField = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.constantFrom(
      '',
      0,
      -1,
      0.5,
      2 ** 31,
      null,
      true,
      '1',
      '../1',
      '\u001b[31m',
      'a\nb',
      '\u202e',
      [],
      {},
    ),
  },
  { weight: 1, arbitrary: fc.oneof(oddText, oddNumber, oddJson) },
);
const oddFields = (names: readonly string[]) => fc.dictionary(fc.constantFrom(...names), oddField, { maxKeys: 2 });
const oddProcess = oddFields(['pid', 'startTime', 'pidNamespace', 'bootId', 'pod']).map((changes) => ({
  ...self,
  ...changes,
}));
const oddClaim = fc
  .oneof(
    oddFields(['epoch', 'folder', 'host', 'agent', 'nonce', 'since', 'v', 'process']),
    oddProcess.map((process) => ({ process })),
    fc.constantFrom('\u001b[31m', 'a\nb', '\u202e').map((text) => ({ host: text, folder: text, since: text })),
  )
  .map((changes) => Buffer.from(encodeClaim({ ...claim, ...changes } as Claim)));
const beat = { epoch: 3, counter: 7, released: false, at };
const oddBeat = oddFields(['epoch', 'counter', 'released', 'at', 'v']).map((changes) =>
  Buffer.from(encodeBeat({ ...beat, ...changes })),
);
const leaseText = fc.oneof(
  garbage,
  oddClaim,
  oddBeat,
  damaged(Buffer.from(encodeClaim(claim))),
  damaged(Buffer.from(encodeBeat(beat))),
);

describe('claims and beats', () => {
  fuzz(
    'whatever they hold: well-formed, of the epoch that their name tells, or nothing',
    3000,
    fc.property(leaseText, (bytes) => {
      const text = bytes.toString('utf8', 0, 4096);
      const [held, sign] = [parseClaim(text, 3), parseBeat(text, 3)];
      if (held !== undefined) {
        expect(held.epoch).toBe(3);
        const { process, folder, host, agent, nonce, since } = held;
        const { pid, pod, startTime, pidNamespace, bootId } = process;
        for (const field of [folder, host, agent, nonce, since, pod, startTime, pidNamespace, bootId])
          expect(typeof field).toBe('string');
        expect(Number.isInteger(pid) && pid > 0 && pid < 2 ** 31).toBe(true);
        // Ours is the process that runs this test: nobody may say that it is dead who doesn't say that it was another.
        if (pid === self.pid && startTime === self.startTime) expect(isProvablyDead(process)).toBe(false);
        else expect(typeof isProvablyDead(process)).toBe('boolean');
      }
      if (sign !== undefined)
        expect(sign).toEqual({
          epoch: 3,
          counter: expect.any(Number),
          at: expect.any(String),
          released: expect.any(Boolean),
        });
      // Taken for given back only by who says so in full.
      if (sign?.released) expect(JSON.parse(text)).toMatchObject({ epoch: 3, released: true });
    }),
  );

  fuzz(
    'a torn claim or beat is none, cut at any byte',
    300,
    fc.property(fc.nat(), (place) => {
      const [whole, sign] = [encodeClaim(claim), encodeBeat(beat)];
      expect(parseClaim(whole.slice(0, place % (whole.length - 1)), 3)).toBeUndefined();
      // The blanks at its end say nothing.
      expect(parseBeat(sign.slice(0, place % sign.trimEnd().length), 3)).toBeUndefined();
    }),
  );

  fuzz(
    'what people are shown of them: always something, without control characters',
    100,
    fc.asyncProperty(
      fc.oneof(oddClaim, leaseText),
      fc.oneof(oddBeat, leaseText),
      fc.constantFrom('alice', '%2E', '~uploads', 'ü\u202e\u001b[31m'),
      async (held, sign, name) => {
        const target = await mkdtemp(join(base, 'target-'));
        await mkdir(join(target, name));
        await writeFile(join(target, name, 'lease.3.json'), held);
        await writeFile(join(target, name, 'beat.3.json'), sign);
        await symlink('/dev/zero', join(target, name, 'lease.2.json'));
        await writeFile(join(target, 'a-file'), '');
        const leases = await readLeases(fileIo, target, { pod: 'ours', leaseSeconds: 45, now: Date.parse(at) });
        expect(leases).toHaveLength(1);
        for (const text of Object.values(leases[0]!))
          expect(String(text)).not.toMatch(/[\p{Cc}\u202a-\u202e\u2066-\u2069]/u);
        await rm(target, { recursive: true });
      },
    ),
  );
});

describe('notes of uploads', () => {
  const dead = { ...self, startTime: '1' };
  const note = { v: 1, key: 'outputs/a.png', uploadId: 'id', at: '2020-01-01T00:00:00.000Z', process: dead };
  const oddNote = oddFields(['v', 'key', 'uploadId', 'at', 'process']).map((changes) =>
    Buffer.from(JSON.stringify({ ...note, ...changes })),
  );
  fuzz(
    'whatever they hold: only an upload that has a key and an id is dropped, and a good note among them is served',
    100,
    fc.asyncProperty(
      fc.array(fc.oneof({ weight: 4, arbitrary: oddNote }, garbage, damaged(Buffer.from(JSON.stringify(note)))), {
        maxLength: 5,
      }),
      async (files) => {
        const targetDir = await mkdtemp(join(base, 'journal-'));
        await mkdir(join(targetDir, '~uploads'));
        for (const [nth, bytes] of files.entries()) await writeFile(join(targetDir, '~uploads', `${nth}.json`), bytes);
        await writeFile(join(targetDir, '~uploads', 'good.json'), JSON.stringify({ ...note, key: 'outputs/good.png' }));
        const dropped: unknown[][] = [];
        const store = scriptStore({ abortUpload: async (...about) => void dropped.push(about) });
        const clock = createFakeClock(Date.parse(at));
        await new MultipartJournal({ targetDir, fs, store, clock, log: collectLog().log, pod: 'ours' }).cleanUp();
        for (const [key, id] of dropped) {
          expect(typeof id === 'string' && id !== '').toBe(true);
          expectWellFormed({ ...makeFact('a.png'), key: key as string });
        }
        expect(dropped).toContainEqual(['outputs/good.png', 'id']);
        await rm(targetDir, { recursive: true });
      },
    ),
  );
});
