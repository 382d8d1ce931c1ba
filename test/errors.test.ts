import { expect, test } from 'vitest';
import { errorCode } from '../src/errors.ts';

test('a volume over its quota is called by its name, for which Node has none', () => {
  const overQuota = Object.assign(new Error('Unknown system error -122: write'), {
    errno: -122,
    code: 'Unknown system error -122',
  });
  expect(errorCode(overQuota)).toBe('EDQUOT');
  expect(errorCode(Object.assign(new Error(), { errno: -99_999, code: 'Unknown system error -99999' }))).toBe(
    'Unknown system error -99999',
  );
  expect(errorCode(Object.assign(new Error(), { errno: -2, code: 'ENOENT' }))).toBe('ENOENT');
  expect(errorCode(null)).toBeUndefined();
});
