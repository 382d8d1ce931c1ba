// Looks at files on behalf of the main thread: what they are, and whether somebody has them open for writing. One pass
// over all descriptors answers for every file that asks in the meantime, and passes are rationed.
import type { Clock } from '../clock.ts';
import type { RelPath } from '../paths.ts';
import type { Examination, Look } from '../volume/protocol.ts';
import type { Volume } from '../volume/volume.ts';
import type { Writers } from './settle.ts';

/** A pass over the descriptors may take this part of a core: after 3 ms of CPU the next waits 12 ms. */
const DUTY = 1 / 5;
/** Files in one question to the worker. */
const MOST_AT_ONCE = 256;

export interface Examined {
  look: Look;
  /** Whether the file had a writer at a moment after the look. */
  writers: Writers;
}

interface Question {
  path: RelPath;
  inSight: boolean;
  resolve: (examined: Examined) => void;
  reject: (error: unknown) => void;
}

export class Examiner {
  readonly #volume: Volume;
  readonly #clock: Clock;
  readonly #root: string;
  /** Who asks because of a hint, and everybody else: a picture that was closed just now doesn't stand behind a backlog. */
  readonly #waiting: readonly [Question[], Question[]] = [[], []];
  #running = false;

  /** @param root absolute, real path that all paths are relative to */
  constructor(volume: Volume, clock: Clock, root: string) {
    this.#volume = volume;
    this.#clock = clock;
    this.#root = root;
  }

  /**
   * Looks at a file. Rejects only if the worker has ended.
   * @param inSight whether its writers, if there are any, show in /proc; otherwise they are `unseen`
   * @param urgent whether it goes before those that aren't
   */
  examine(path: RelPath, inSight: boolean, urgent = false): Promise<Examined> {
    return new Promise((resolve, reject) => {
      this.#waiting[urgent ? 0 : 1].push({ path, inSight, resolve, reject });
      if (!this.#running) void this.#answerAll();
    });
  }

  async #answerAll(): Promise<void> {
    this.#running = true;
    // Whoever asks in the same turn is answered by the same pass.
    await Promise.resolve();
    while (this.#waiting.some((queue) => queue.length > 0)) {
      const questions = this.#waiting.find((queue) => queue.length > 0)!.splice(0, MOST_AT_ONCE);
      const writers = questions.some(({ inSight }) => inSight);
      let passMs = 0;
      try {
        const paths = questions.map(({ path }) => path);
        const examination = await this.#volume.ask('examine', { root: this.#root, paths, writers });
        ({ passMs } = examination);
        give(questions, examination);
      } catch (error) {
        for (const { reject } of questions) reject(error);
      }
      await this.#clock.sleep(passMs * (1 / DUTY - 1));
    }
    this.#running = false;
  }
}

function give(questions: readonly Question[], { looks, open, complete }: Examination): void {
  questions.forEach(({ inSight, resolve }, at) => {
    const writers = !inSight ? 'unseen' : open[at] ? 'open' : complete ? 'none' : 'unseen';
    resolve({ look: looks[at]!, writers });
  });
}
