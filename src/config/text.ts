// How the text of a setting is read before anybody looks at its meaning, and how much of it may be shown again.
import { printable } from '../paths.ts';

/** A value as it was meant: without surrounding blanks and quotes; undefined when nothing is left (empty is unset). */
export function cleanValue(text: string | undefined): string | undefined {
  let rest = text?.trim() ?? '';
  while (rest.length >= 2 && (rest[0] === '"' || rest[0] === "'") && rest.at(-1) === rest[0]) {
    rest = rest.slice(1, -1).trim();
  }
  return rest === '' ? undefined : rest;
}

const placeholder = /\{\{ *RUNPOD_SECRET_([^{}]*)\}\}/i;

/** The name of a RunPod secret that was never expanded (`{{ RUNPOD_SECRET_x }}` gives `x`), or undefined. */
export function unexpandedSecret(text: string): string | undefined {
  return placeholder.exec(text)?.[1]?.trim();
}

/** Whether a text is such a placeholder and nothing else: then it is no secret. */
export function isPlaceholder(text: string): boolean {
  return text.replace(placeholder, '') === '';
}

/**
 * ` ("value")` for a message, or '' where showing it may be unwise: people put keys into the wrong variable, so
 * nothing that is long, and nothing that could be a key, is ever repeated.
 */
export function quoteValue(text: string): string {
  const keyLike = /^[\w+/=-]{20,}$/.test(text);
  return text.length > 40 || keyLike ? '' : ` ("${printable(text)}")`;
}
