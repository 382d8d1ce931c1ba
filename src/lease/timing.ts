// The times of a lease. All follow from R2_LEASE_SECONDS, so that they stay in proportion.

/** All in milliseconds. */
export interface Timing {
  /** A holder that shows no sign of life for so long is replaced. */
  dead: number;
  /** Between two signs of life, and between two looks of one who waits. */
  beat: number;
  /** A holder whose last beat began longer ago than this holds no more. */
  stop: number;
  /** What is on its way when a lease is lost may go on for so long. */
  abort: number;
  /** Between two looks that are further apart nobody knows what happened. */
  gap: number;
  /** A folder in which nothing has been due for so long is given back. */
  idle: number;
  /** A holder that got nothing done for so long lets others try. */
  stall: number;
}

/** How old may be what a mount shows of another one's writes? MooseFS showed 1 s at most; this leaves room. */
const READ_STALENESS_SECONDS = 2;
/** Clocks may run so much slower or faster than each other. */
const CLOCK_FACTOR = 1.25;

/** @param seconds R2_LEASE_SECONDS */
export function leaseTiming(seconds: number): Timing {
  const beat = (seconds * 1000) / 9;
  return { dead: 9 * beat, beat, stop: 4 * beat, abort: beat, gap: 2 * beat, idle: 6 * beat, stall: 12 * beat };
}

/**
 * Seconds; a shorter lease could be taken over while its holder still uploads: a holder must have stopped, and what it
 * sent must have ended or become visible, before anybody calls it dead.
 */
export const shortestLeaseSeconds = (() => {
  const { dead, stop } = leaseTiming(1);
  return (CLOCK_FACTOR * READ_STALENESS_SECONDS) / ((dead - CLOCK_FACTOR * stop) / 1000);
})();
