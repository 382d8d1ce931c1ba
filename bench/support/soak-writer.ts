// The soak's writer, with ComfyUI's habits: pictures straight to their final name in folders by user and by day, now and
// then a batch, a preview that is written over, a new folder, a video; and the oldest files go, as people tidy up.
import { mkdirSync, readdirSync, rmdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { now, pause } from './clock.ts';
import { MIB, makeSample, type Written, writeSample, writeVideo } from './samples.ts';

const SIZES = [300 * 1024, 600 * 1024, MIB, 1.4 * MIB, 2 * MIB].map(Math.round);
const USERS = ['alice', 'bob', 'carol', 'dave'];
/** Every so many files … */
const VIDEO_EVERY = 120;
const BATCH_EVERY = 60;
const BATCH_FILES = 8;
const FOLDER_EVERY = 400;

export class SoakWriter {
  /** Files written so far. */
  files = 0;
  readonly #dir: string;
  readonly #everyMs: number;
  readonly #keep: number;
  readonly #kept: string[] = [];
  /** Not stored yet, by stem. */
  readonly #waiting = new Map<string, Written>();

  /** `rate`: files a second. `keep`: how many stay; no file goes before it is stored. */
  constructor(dir: string, rate: number, keep: number) {
    this.#dir = dir;
    this.#everyMs = 1000 / rate;
    this.#keep = keep;
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  get onDisk(): number {
    return this.#kept.length;
  }

  /** The file that this object key is of, the first time. */
  take(key: string): Written | undefined {
    const stem = /([a-z]+-\d+)[^/]*$/.exec(key)?.[1] ?? '';
    const file = this.#waiting.get(stem);
    this.#waiting.delete(stem);
    return file;
  }

  /** Writes until the signal is aborted. What it couldn't write in time it makes up for, so the rate holds. */
  async run(signal: AbortSignal): Promise<void> {
    const begin = now();
    while (!signal.aborted) {
      const inBatch = this.files % BATCH_EVERY < BATCH_FILES;
      const due = begin + (inBatch ? this.files - (this.files % BATCH_EVERY) : this.files) * this.#everyMs;
      await pause(due - now());
      if (signal.aborted) return;
      this.#write();
      // Batches must not hold up the clock of the soak, nor its questions to the store.
      await pause(1);
    }
  }

  #write(): void {
    const index = this.files;
    this.files += 1;
    const user = USERS[index % USERS.length]!;
    const folder = `${user}/set-${Math.floor(index / FOLDER_EVERY)}`;
    const isVideo = index % VIDEO_EVERY === VIDEO_EVERY - 1;
    const path = join(this.#dir, folder, isVideo ? `video-${index}.mp4` : `picture-${index}.png`);
    mkdirSync(dirname(path), { recursive: true });
    const written = isVideo
      ? writeVideo(path, 24 * MIB + index)
      : writeSample(path, makeSample(index, SIZES[index % SIZES.length]!));
    this.#waiting.set(written.stem, written);
    this.#kept.push(path);
    if (this.#kept.length > this.#keep) this.#tidy();
  }

  #tidy(): void {
    const oldest = this.#kept[0]!;
    const stem = /([a-z]+-\d+)\.\w+$/.exec(oldest)?.[1] ?? '';
    if (this.#waiting.has(stem)) return;
    this.#kept.shift();
    rmSync(oldest);
    const folder = dirname(oldest);
    if (readdirSync(folder).length === 0) rmdirSync(folder);
  }
}
