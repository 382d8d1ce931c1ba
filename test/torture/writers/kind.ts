// A kind of writer: what one program, or one habit of people, does to the volume.
import type { Hand } from './hand.ts';

export interface Kind {
  name: string;
  /** How often it is its turn, against the others'. */
  share: number;
  /** Takes seconds: only so many of these run at a time. */
  slow?: boolean;
  /** One round. What it claimed is given back for it. Returns early when the hand's signal is aborted, all files whole. */
  round(hand: Hand): Promise<void>;
}
