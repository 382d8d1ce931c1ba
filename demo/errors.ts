// How the demo says what went wrong.

/** Something that a person can put right: its message says what happened and what to do, and no stack is shown. */
export class DemoError extends Error {}

/** What a request to the store came to, in a line: the store's own words without its XML, or why it can't be reached. */
export function describeStoreTrouble(error: unknown): string {
  const { message, cause } = error instanceof Error ? error : new Error(String(error));
  const [, status, words] = /^(.*?): .*<Message>(.*?)<\/Message>/s.exec(message) ?? [];
  if (words !== undefined) return `${status}: ${words}`;
  return cause instanceof Error ? `${message}: ${cause.message}` : message;
}
