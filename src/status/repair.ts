// What `verify --repair` asks a running agent for: to send files again of which the bucket doesn't have what the ledger
// says. The agent compares each with its own ledger, so nothing but what was stored before can be asked for.
import * as z from 'zod/mini';
import { type RelPath, refusePath } from '../paths.ts';

export interface Repair {
  path: RelPath;
  /** Hex: what the ledger says. */
  sha256: string;
  /** What its key holds can't be trusted: send it under the key with the whole hash. */
  wide: boolean;
}

/** Of one request; paths have 4,095 bytes at most, and each may be an escape in JSON. */
export const MOST_REPAIR_BYTES = 4 * 2 ** 20;
export const REPAIRS_AT_ONCE = 100;

const shape = z.array(
  z.object({
    path: z.string().check(z.refine((path) => refusePath(path) === undefined)),
    sha256: z.string().check(z.regex(/^[0-9a-f]{64}$/)),
    wide: z.boolean(),
  }),
);

/** The body of a request; undefined where it isn't one. */
export function parseRepairs(body: string): Repair[] | undefined {
  try {
    return shape.safeParse(JSON.parse(body)).data;
  } catch {
    return undefined;
  }
}
