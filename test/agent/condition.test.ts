// What a message may be about: which troubles count as one, on one pod and on many.
import { beforeEach, describe, expect, test } from 'vitest';
import { type ConditionOptions, describeCondition } from '../../src/agent/condition.ts';
import { PendingTable } from '../../src/agent/pending.ts';
import type { Session } from '../../src/agent/session.ts';
import { Totals } from '../../src/agent/totals.ts';
import type { Config } from '../../src/config/types.ts';
import { StoreError } from '../../src/upload/store.ts';
import { createFakeClock } from '../support/fake-clock.ts';

const clock = createFakeClock();
let table: PendingTable;
/** What differs from a session in which all is well. */
let change: { trouble?: unknown; reasons?: string[] };
beforeEach(() => {
  table = new PendingTable(clock);
  change = {};
});

function look(options: Partial<ConditionOptions> = {}) {
  const { trouble, reasons = [] } = change;
  const session = {
    table,
    gate: { trouble, open: trouble === undefined },
    reasons,
    seesAll: true,
  } as unknown as Session;
  return describeCondition({
    config: keyed('key'),
    session,
    totals: new Totals(clock, () => {}),
    problems: [],
    reasons: [],
    ...options,
  });
}

const keyed = (accessKeyId: string) => ({ accessKeyId }) as Config;
const idsOf = (options: Partial<ConditionOptions> = {}) => look(options).causes.map(({ id }) => id);
const refusal = (code: string) => ({
  cause: 'refused',
  error: new StoreError('refused', code, `answered ${code}`, 'check it'),
});
const outage = (code: string) => ({ cause: 'unreachable', error: new StoreError('transient', code, code, 'wait') });

function park(path: string, why: string, fix: string) {
  Object.assign(table.add(path), { state: 'parked', why, fix });
}

test('nothing to tell', () => {
  table.add('a.png');
  expect(look()).toMatchObject({ state: 'ok', causes: [], reasons: [], counts: { pending: 1, parked: 0 } });
});

describe('a store that refuses', () => {
  beforeEach(() => void table.add('alice/a.png'));

  test('is one outage for all pods with the same key, and another for a pod whose key alone is wrong', () => {
    change = { trouble: refusal('AccessDenied') };
    const [ours] = idsOf();
    expect(idsOf({ config: keyed('key') })).toEqual([ours]);
    expect(idsOf({ config: keyed('a wrong key') })).not.toEqual([ours]);
    change = { trouble: refusal('NoSuchBucket') };
    expect(idsOf()).not.toEqual([ours]);
    expect(look()).toMatchObject({ state: 'failing', folders: ['alice'], storeOpen: false });
    expect(ours).not.toContain('key');
  });

  test('that does not answer is one outage, whatever the network says at the moment, for everybody', () => {
    change = { trouble: outage('ECONNREFUSED') };
    const ours = idsOf();
    change = { trouble: outage('TimeoutError') };
    expect(idsOf({ config: keyed('another key') })).toEqual(ours);
    expect(look().state).toBe('degraded');
  });

  test('is still failing for a pod that has nothing to try it with, but that one is no witness', () => {
    change = { trouble: refusal('AccessDenied') };
    table.clear();
    expect(look()).toMatchObject({ state: 'failing', causes: [], reasons: ['answered AccessDenied. Check it'] });
  });
});

test('a reason is the same while its figures change', () => {
  change = { reasons: ["The volume hasn't answered for 31 s. Uploads go on."] };
  const ids = idsOf();
  change = { reasons: ["The volume hasn't answered for 94 s. Uploads go on."] };
  expect(idsOf()).toEqual(ids);
  expect(idsOf({ reasons: ['The status page is elsewhere.'] })).toHaveLength(2);
});

test('wrong settings are one cause, however many there are', () => {
  expect(idsOf({ problems: ['a', 'b'], session: undefined })).toEqual(idsOf({ problems: ['c'], session: undefined }));
  expect(look({ problems: ['a is wrong.', 'b too.'] })).toMatchObject({
    state: 'failing',
    causes: [{ kind: 'settings', text: 'a is wrong. b too.' }],
  });
});

test('a thousand files parked for one reason are one cause of their folder, though each reason names its file', () => {
  for (let nth = 0; nth < 1000; nth += 1) park(`alice/${nth}.png`, `outputs/${nth}.png holds other bytes`, 'change it');
  park('bob/1.png', 'the name is too long', 'make it shorter');
  const { causes, counts, state, folders } = look();
  expect(causes.map(({ files }) => files)).toEqual([1000, 1]);
  expect(causes[0]!.text).toBe(
    'alice/0.png, alice/1.png, alice/2.png and 997 more: outputs/0.png holds other bytes. Change it',
  );
  expect({ counts, state, folders }).toEqual({
    counts: { pending: 0, parked: 1001 },
    state: 'ok',
    folders: ['alice', 'bob'],
  });
});

test('names are shown as they can be shown', () => {
  park('al\u001bice/\udcff.png', 'no', 'yes');
  expect(look()).toMatchObject({ folders: ['al\\u001bice'], causes: [{ text: 'al\\u001bice/\\xff.png: no. Yes' }] });
});
