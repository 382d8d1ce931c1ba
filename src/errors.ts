// Errors for people: what happened, to what, and what to do about it.
import { constants } from 'node:os';

/** Exit codes of every command (design, section 12). */
export const ExitCode = { done: 0, unexpected: 1, usage: 2, left: 3, refused: 4 } as const;
export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode];

/** An error that the user can do something about. `fix` says what. */
export class UserError extends Error {
  readonly fix: string;
  readonly exitCode: ExitCode;

  constructor(message: string, fix: string, exitCode: ExitCode = ExitCode.unexpected, options?: ErrorOptions) {
    super(message, options);
    this.name = 'UserError';
    this.fix = fix;
    this.exitCode = exitCode;
  }
}

/** The `code` of a system error (`ENOENT`, `EIO` …), or undefined. */
export function errorCode(error: unknown): string | undefined {
  const { code, errno } = (error ?? {}) as { code?: unknown; errno?: unknown };
  // Node has no name for some, EDQUOT (a volume over its quota) among them.
  if (typeof errno === 'number' && typeof code === 'string' && code.startsWith('Unknown system error'))
    return Object.entries(constants.errno).find(([, value]) => value === -errno)?.[0] ?? code;
  return typeof code === 'string' ? code : undefined;
}

/** The text of anything that was thrown. */
export function errorText(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** What happened and what to do about it, as whole sentences. */
export function explain({ message, fix }: { message: string; fix: string }): string {
  const told = /[.!?]$/.test(message) ? message : `${message}.`;
  return `${told} ${fix.charAt(0).toUpperCase()}${fix.slice(1)}`.trim();
}
