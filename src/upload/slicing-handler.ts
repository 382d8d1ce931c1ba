// Sends large bodies slice by slice over TLS. In one write, TLS encrypts all of it at once (a second copy in memory) and
// shows no progress until all of it has left, so that the time-out for silence would end every upload that is merely slow.
// A plain socket shows its progress by itself.
import { Readable } from 'node:stream';
import { NodeHttpHandler } from '@smithy/node-http-handler';

/** Bytes in one write: the least that must leave within the time-out. */
const sliceSize = 512 * 1024;

export class SlicingHandler extends NodeHttpHandler {
  override handle(...[request, options]: Parameters<NodeHttpHandler['handle']>): ReturnType<NodeHttpHandler['handle']> {
    const body: unknown = request.body;
    if (request.protocol !== 'https:' || !Buffer.isBuffer(body) || body.length <= sliceSize)
      return super.handle(request, options);
    // A stream can be sent once only; the request itself stays as it is, for the SDK to send it again.
    return super.handle(Object.assign(request.clone(), { body: sliced(body) }), options);
  }
}

function sliced(body: Buffer): Readable {
  let at = 0;
  return new Readable({
    highWaterMark: sliceSize,
    read() {
      this.push(at < body.length ? body.subarray(at, at + sliceSize) : null);
      at += sliceSize;
    },
  });
}
