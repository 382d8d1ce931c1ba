// Counts every request that leaves for the store, those that the SDK repeats by itself included: they cost money.
import type { NodeHttpHandlerOptions } from '@smithy/node-http-handler';
import { SlicingHandler } from './slicing-handler.ts';

type Handle = SlicingHandler['handle'];

export class CountingHandler extends SlicingHandler {
  readonly #count: (operation: string, code: string) => void;

  /** @param count gets S3's name for the request, and the reply's HTTP status, `none` if none came */
  constructor(count: ((operation: string, code: string) => void) | undefined, options: NodeHttpHandlerOptions) {
    super(options);
    this.#count = count ?? (() => {});
  }

  override async handle(...[request, options]: Parameters<Handle>): ReturnType<Handle> {
    let code = 'none';
    try {
      const reply = await super.handle(request, options);
      code = String(reply.response.statusCode);
      return reply;
    } finally {
      this.#count(operationOf(request.method, request.query), code);
    }
  }
}

/** By method, and by what the query must have. The first that fits. */
const operations: readonly [method: string, parameter: string | undefined, operation: string][] = [
  ['PUT', 'partNumber', 'UploadPart'],
  ['PUT', undefined, 'PutObject'],
  ['HEAD', undefined, 'HeadObject'],
  ['POST', 'uploads', 'CreateMultipartUpload'],
  ['POST', 'uploadId', 'CompleteMultipartUpload'],
  ['DELETE', 'uploadId', 'AbortMultipartUpload'],
  ['GET', 'list-type', 'ListObjectsV2'],
  ['GET', undefined, 'GetObject'],
];

function operationOf(method: string, query: Readonly<Record<string, unknown>>): string {
  const found = operations.find(
    ([name, parameter]) => name === method && (parameter === undefined || parameter in query),
  );
  return found?.[2] ?? method;
}
