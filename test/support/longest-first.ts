// In which order vitest starts test files: those that take longest first. Without a record of an earlier run, as in a
// fresh checkout, vitest takes the largest file for the slowest, and a story that waits for minutes would begin last.
import { existsSync } from 'node:fs';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** A sequencer for vitest's configuration. `slow`: paths from the repository's root, slowest first. */
export function longestFirst(slow: readonly string[]): typeof BaseSequencer {
  for (const path of slow) if (!existsSync(path)) throw new Error(`${path}, named as a slow test file, isn't there`);
  const rank = ({ moduleId }: TestSpecification) => {
    const at = slow.findIndex((path) => moduleId.endsWith(path));
    return at === -1 ? slow.length : at;
  };
  return class extends BaseSequencer {
    override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
      return (await super.sort(files)).sort((one, other) => rank(one) - rank(other));
    }
  };
}
