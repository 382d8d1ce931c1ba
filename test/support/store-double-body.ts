// Receives a request's body for the store double: plain or aws-chunked (boto3 and rclone send that), hashed on the way
// if asked, at full speed or as slowly as a bad uplink.
import { createHash, type Hash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';

interface BodyPlan {
  /** Compute SHA-256 (and MD5 where the client sent one). */
  hash: boolean;
  /** Keep the bytes. */
  keep: boolean;
  /** Read at most about this many bytes a second. */
  bytesPerSecond?: number | undefined;
  /** Destroy the connection once this many bytes came. */
  resetAfter?: number | undefined;
}

export interface ReceivedBody {
  bytes: number;
  sha256: string | undefined;
  md5: string | undefined;
  body: Buffer | undefined;
}

/** Rejects if the client goes away before the end. */
export function receiveBody(request: IncomingMessage, plan: BodyPlan): Promise<ReceivedBody> {
  const payload = String(request.headers['x-amz-content-sha256'] ?? '');
  const decoder = payload.startsWith('STREAMING-') ? new ChunkedDecoder() : undefined;
  const sha256 = plan.hash ? createHash('sha256') : undefined;
  const md5: Hash | undefined = plan.hash && request.headers['content-md5'] ? createHash('md5') : undefined;
  const kept: Buffer[] = [];
  let bytes = 0;
  let raw = 0;
  const startedAt = performance.now();
  return new Promise((resolve, reject) => {
    const take = (piece: Buffer) => {
      bytes += piece.length;
      sha256?.update(piece);
      md5?.update(piece);
      if (plan.keep) kept.push(piece);
    };
    request.on('data', (chunk: Buffer) => {
      raw += chunk.length;
      if (decoder) for (const piece of decoder.push(chunk)) take(piece);
      else take(chunk);
      if (plan.resetAfter !== undefined && raw > plan.resetAfter) request.socket.resetAndDestroy();
      if (plan.bytesPerSecond !== undefined) {
        const early = (raw / plan.bytesPerSecond) * 1000 - (performance.now() - startedAt);
        if (early < 1) return;
        request.pause();
        setTimeout(() => request.resume(), early);
      }
    });
    request.on('end', () => {
      const body = plan.keep ? (kept.length === 1 ? kept[0]! : Buffer.concat(kept, bytes)) : undefined;
      resolve({ bytes, sha256: sha256?.digest('hex'), md5: md5?.digest('base64'), body });
    });
    request.on('error', reject);
    request.on('close', () => reject(new Error('the client went away')));
  });
}

/** Undoes `Content-Encoding: aws-chunked`. Chunk signatures and trailing checksums are read over, not checked. */
class ChunkedDecoder {
  #line = '';
  #left = 0;
  #state: 'size' | 'data' | 'gap' | 'end' = 'size';

  push(chunk: Buffer): Buffer[] {
    const out: Buffer[] = [];
    let at = 0;
    while (at < chunk.length && this.#state !== 'end') {
      if (this.#state === 'data') {
        const piece = chunk.subarray(at, at + this.#left);
        out.push(piece);
        at += piece.length;
        this.#left -= piece.length;
        if (this.#left === 0) this.#state = 'gap';
        continue;
      }
      const newline = chunk.indexOf(0x0a, at);
      const end = newline === -1 ? chunk.length : newline + 1;
      this.#line += chunk.toString('latin1', at, end);
      at = end;
      if (newline !== -1) this.#endLine();
    }
    return out;
  }

  #endLine(): void {
    if (this.#state === 'gap') this.#state = 'size';
    else {
      this.#left = Number.parseInt(this.#line, 16);
      this.#state = this.#left > 0 ? 'data' : 'end';
    }
    this.#line = '';
  }
}
