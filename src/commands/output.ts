// How commands print.

/** One JSON document on standard output. */
export function printJson(value: unknown): void {
  console.log(JSON.stringify(value, null, 2));
}

/** Whether standard output is a terminal with colours, which NO_COLOR and its kin turn off. */
export function wantsColor(): boolean {
  return process.stdout.isTTY === true && process.stdout.getColorDepth() > 1;
}

/** Columns of the terminal; 100 where there is none. */
export function terminalWidth(): number {
  return process.stdout.columns ?? 100;
}
