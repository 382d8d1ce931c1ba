// Where r2-sync isn't ahead, docs/benchmarks.md says so, and why.
import { describe, expect, test } from 'vitest';
import { ROWS } from '../../bench/rows/all.ts';
import { parseOptions, partOf } from '../../bench/support/options.ts';
import { type PublishedRun, withRows } from '../../bench/support/published.ts';
import { comparedMetrics, compareWithOthers } from '../../scripts/docs/benchmarks/compare.ts';

/** A run of one row, a figure for each contender. */
function runOf(id: string, metric: string, values: Record<string, Record<string, number>>): PublishedRun {
  const row = ROWS.find((one) => one.id === id)!;
  const figures = Object.fromEntries(
    Object.entries(values).map(([contender, metrics]) => [
      contender,
      Object.fromEntries(Object.entries(metrics).map(([name, value]) => [name, { value, rounds: [value] }])),
    ]),
  );
  expect(row.metrics).toHaveProperty(metric);
  return { rows: [{ ...row, title: row.id, figures, goals: [], failures: [] }] } as unknown as PublishedRun;
}

describe('the comparison with others', () => {
  test.each(ROWS)('has every figure of the row "$id" that others have too', (row) => {
    expect(() => comparedMetrics(row)).not.toThrow();
    const rivals = row.contenders.filter((id) => !['agent', 'agent-plain', 'floor'].includes(id));
    expect(comparedMetrics(row).length > 0).toBe(rivals.length > 0);
  });

  test('names the best of the others, and the reason where it is ahead of us', () => {
    const values = { agent: { rate: 200 }, boto3: { rate: 300 }, rclone: { rate: 100 }, floor: { rate: 900 } };
    expect(compareWithOthers(runOf('large', 'rate', values))).toMatchObject([
      { bestId: 'boto3', isAhead: false, times: '0.67x', reason: expect.stringContaining('before its name is known') },
    ]);
  });

  test('does not compare the costs of those who lost files', () => {
    const values = { agent: { cpu: 5, lost: 0 }, boto3: { cpu: 4, lost: 2 }, rclone: { cpu: 9, lost: 0 } };
    const [cpu, lost] = compareWithOthers(runOf('burst', 'cpu', values));
    expect(cpu).toMatchObject({ bestId: 'rclone', isAhead: true });
    expect(lost).toMatchObject({ bestId: 'rclone', isAhead: true });
  });

  test('a row that was measured anew takes the place of its own, and says when', () => {
    const facts = { machine: { cpus: 2, memoryMiB: 1 }, node: 'v24' };
    const whole = { ...runOf('idle', 'cpu', { agent: { cpu: 2 } }), ...facts, at: '2026-01-01', commit: 'a' };
    const part = { ...runOf('idle', 'cpu', { agent: { cpu: 1 } }), ...facts, at: '2026-01-02', commit: 'b' };
    const { rows, ...rest } = withRows(whole, part);
    expect(rest).toMatchObject({ at: '2026-01-01', commit: 'a' });
    expect(rows).toEqual([{ ...part.rows[0], measured: { ...facts, at: '2026-01-02', commit: 'b' } }]);
  });

  test.each([
    [[], undefined],
    [['--quick'], undefined],
    [['--only', 'idle'], 'rows'],
    [['--only', 'idle', '--quick'], 'trial'],
    [['--contenders', 'agent'], 'trial'],
  ])('a run with %j is %s to the page, and a trial is not begun to be published', (args, part) => {
    const parse = (more: string[]) => parseOptions([...args, ...more], ['idle'], ['agent']);
    expect(partOf(parse([]))).toBe(part);
    if (part === 'trial') expect(() => parse(['--publish'])).toThrow('holes');
    else expect(parse(['--publish']).publish).toBe(true);
  });
});
