// A store that keeps what it is given first under a key, and knows who sent what when.
import { folderOf } from '../../../src/paths.ts';
import { StoreError } from '../../../src/upload/store.ts';
import type { Process, World } from './world.ts';

export type Mood = 'fine' | 'down' | 'refused';

/** Ms that a PUT takes at most: less than what is on its way gets to end. */
const LONGEST_PUT_MS = 3000;
const LONGEST_HEAD_MS = 50;

interface Sending {
  pod: string;
  folder: string;
  protected: boolean;
}

export class Bucket {
  readonly objects = new Map<string, string>();
  /** How often bytes were sent to a store that takes them, by key. */
  readonly sent = new Map<string, number>();
  /** Two pods that sent something of one folder at a time, while both held it. */
  readonly overlaps: string[] = [];
  readonly #world: World;
  readonly #underWay = new Set<Sending>();

  constructor(world: World) {
    this.#world = world;
  }

  head(process: Process, mood: Mood, key: string): Promise<boolean> {
    return new Promise((resolve, reject) => {
      this.#world.after(this.#world.random() * LONGEST_HEAD_MS, () => {
        const refusal = refusalOf(mood);
        const found = this.objects.has(key);
        process.deliver(() => (refusal ? reject(refusal) : resolve(found)));
      });
    });
  }

  /** @param isProtected sent under a lease */
  async put(
    from: { process: Process; pod: string; mood: () => Mood; ending: AbortSignal; isProtected: boolean },
    { path, key, content }: { path: string; key: string; content: string },
  ): Promise<void> {
    const sending: Sending = { pod: from.pod, folder: folderOf(path), protected: from.isProtected };
    for (const other of this.#underWay) {
      if (other.pod !== sending.pod && other.folder === sending.folder && other.protected && sending.protected)
        this.overlaps.push(`${other.pod} and ${sending.pod} at ${this.#world.now}: ${path}`);
    }
    this.#underWay.add(sending);
    if (from.mood() === 'fine') this.sent.set(key, (this.sent.get(key) ?? 0) + 1);
    await new Promise<void>((resolve, reject) => {
      const end = () => {
        if (!this.#underWay.delete(sending)) return;
        from.ending.removeEventListener('abort', end);
        const { aborted } = from.ending;
        const refusal = aborted ? cutOff : refusalOf(from.mood());
        // Who is cut off doesn't know whether it had arrived.
        const arrives = refusal === undefined || (aborted && from.mood() === 'fine' && this.#world.random() < 0.5);
        if (arrives && !this.objects.has(key)) this.objects.set(key, content);
        from.process.deliver(() => (refusal ? reject(refusal) : resolve()));
      };
      this.#world.after(this.#world.random() * LONGEST_PUT_MS, end);
      from.ending.addEventListener('abort', end, { once: true });
    });
  }
}

const cutOff = new StoreError('aborted', 'Aborted', 'the upload was stopped', '');

function refusalOf(mood: Mood): StoreError | undefined {
  if (mood === 'down') return new StoreError('transient', 'SlowDown', 'the store is down', '');
  return mood === 'refused' ? new StoreError('refused', 'AccessDenied', 'the store refuses', '') : undefined;
}
