// The main thread's end of the volume worker.
import { Worker } from 'node:worker_threads';
import type { Reply, RequestMap } from './protocol.ts';

/** Filled in by the bundler with the worker's code, so that what ships is one file. */
declare const BUNDLED_VOLUME_WORKER: string | undefined;

/** A volume that doesn't answer for so long is said to hang: ms. */
export const HUNG_MS = 30_000;

/** For people, of a volume that has answered nothing for `ms`; nothing where that isn't long. */
export function describeSilence(ms: number): string[] {
  if (ms <= HUNG_MS) return [];
  return [`The volume hasn't answered for ${Math.round(ms / 1000)} s. Uploads go on as soon as it does.`];
}

export interface Volume {
  /**
   * Asks the worker; rejects with an Error that has the system's `code`. Requests are answered in order.
   * @param transfer buffers of the request that the worker gets for good
   */
  ask<K extends keyof RequestMap>(
    kind: K,
    request: RequestMap[K]['request'],
    transfer?: ArrayBuffer[],
  ): Promise<RequestMap[K]['reply']>;
  /** Milliseconds that the oldest unanswered request has been waiting: how a hung volume shows. */
  overdueMs(): number;
  close(): Promise<void>;
}

/** @param onDied called once if the worker ends without being closed: out of memory, or a mistake of ours */
export function startVolume(onDied: (error: Error) => void = () => {}): Volume {
  const options = { resourceLimits: { maxYoungGenerationSizeMb: 2 }, stderr: false };
  const worker =
    typeof BUNDLED_VOLUME_WORKER === 'string'
      ? new Worker(BUNDLED_VOLUME_WORKER, { ...options, eval: true })
      : new Worker(new URL('./worker.ts', import.meta.url), options);
  const waiting = new Map<number, { resolve: (value: never) => void; reject: (error: Error) => void; since: number }>();
  let lastId = 0;
  let closed = false;

  const failAll = (error: Error) => {
    if (!closed) onDied(error);
    closed = true;
    for (const { reject } of waiting.values()) reject(error);
    waiting.clear();
  };
  worker.on('message', (reply: Reply) => {
    const request = waiting.get(reply.id);
    waiting.delete(reply.id);
    // Only a question that is open keeps the process alive.
    if (waiting.size === 0) worker.unref();
    if (reply.error) request?.reject(Object.assign(new Error(reply.error.message), { code: reply.error.code }));
    else request?.resolve(reply.value as never);
  });
  worker.on('error', failAll);
  worker.on('exit', () => failAll(new Error('the volume worker has ended')));
  worker.unref();

  return {
    ask: (kind, request, transfer = []) =>
      new Promise((resolve, reject) => {
        if (closed) return reject(new Error('the volume worker has ended'));
        worker.ref();
        lastId += 1;
        waiting.set(lastId, { resolve, reject, since: performance.now() });
        worker.postMessage({ id: lastId, kind, request }, transfer);
      }),
    overdueMs: () => {
      const oldest = waiting.values().next().value;
      return oldest ? performance.now() - oldest.since : 0;
    },
    close: async () => {
      closed = true;
      await worker.terminate();
    },
  };
}
