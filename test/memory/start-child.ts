// What becomes of functions that run often: before a start has taken long, while it does, and after it. Prints true for each
// that was optimised.
// Usage: node --allow-natives-syntax --no-concurrent-recompilation start-child.ts
import { forgoOptimisation, hastenStart } from '../../src/memory.ts';
import { createFakeClock } from '../support/fake-clock.ts';

const CALLS = 200_000;
/** Bit of `%GetOptimizationStatus`. */
const OPTIMISED = 1 << 4;

/** Whether V8 optimises a function of our own that runs often. */
function optimises(): boolean {
  return new Function(
    'calls',
    `const often = (n) => { let sum = 0; for (let i = 0; i < 10; i += 1) sum += n % (i + 1); return sum; };
    for (let n = 0; n < calls; n += 1) often(n);
    return (%GetOptimizationStatus(often) & ${OPTIMISED}) !== 0;`,
  )(CALLS);
}

const clock = createFakeClock();
forgoOptimisation();
const settle = hastenStart(clock);
const found = [optimises()];
await clock.advance(5000);
found.push(optimises());
settle();
found.push(optimises());
// One that was over before it took long.
hastenStart(clock)();
await clock.advance(5000);
found.push(optimises());
console.log(JSON.stringify(found));
