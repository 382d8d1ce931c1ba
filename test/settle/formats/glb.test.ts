import { expect, test } from 'vitest';
import { bufferSource, judgeFormat } from '../../../src/settle/formats/index.ts';
import { makeGlb } from '../../support/media.ts';

test('a GLB is whole when the length in its header is the file’s, and torn when there is more', async () => {
  const file = makeGlb();
  expect(await judgeFormat('.glb', bufferSource(file))).toBe('whole');
  expect(await judgeFormat('.glb', bufferSource(Buffer.concat([file, Buffer.alloc(4)])))).toBe('torn');
});
