// The store over S3, by the AWS SDK. Decides how requests are made: what is retried below us and what isn't, what is
// hashed by whom, when silence is a failure, and which replies prove that something is stored.
import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { AbortMultipartUploadCommand, S3Client, type S3ClientConfig } from '@aws-sdk/client-s3';
import pRetry, { type Options as RetryOptions } from 'p-retry';
import { type Clock, systemClock } from '../clock.ts';
import { redactor } from '../log.ts';
import { CountingHandler } from './counting-handler.ts';
import { type FailureContext, notS3, toStoreError } from './failures.ts';
import { getObject, headObject } from './get-object.ts';
import { listPage } from './list-objects.ts';
import { putObject } from './put-object.ts';
import { partsAtOnce, uploadParts } from './s3-parts.ts';
import { createSigned } from './signed-request.ts';
import {
  type GetOptions,
  type ListedObject,
  type PutPartsRequest,
  type PutRequest,
  type Store,
  StoreError,
} from './store.ts';

export interface S3StoreOptions {
  /** Without the bucket. May have a path. */
  endpoint: string;
  bucket: string;
  accessKeyId: string;
  secretAccessKey: string;
  sessionToken?: string | undefined;
  /** How many files are uploaded at a time; sizes the pool of connections. */
  concurrency: number;
  /** A request fails after this many milliseconds without a byte sent or received. Default: 60,000. */
  idleTimeoutMs?: number;
  /** A connection that isn't there after this many milliseconds is given up. Default: 10,000. */
  connectTimeoutMs?: number;
  clock?: Pick<Clock, 'wall'>;
  /** Called for every request that was sent: S3's name for it, and the reply's HTTP status, `none` if none came. */
  onRequest?: ((operation: string, code: string) => void) | undefined;
}

/** Everything that the SDK would otherwise look for in AWS_* variables and ~/.aws, which are none of ours. */
const fixedConfig = {
  region: 'auto',
  forcePathStyle: true,
  // R2 answers 501 to checksums that it doesn't know, and waits for nobody who expects "100 Continue".
  requestChecksumCalculation: 'WHEN_REQUIRED',
  responseChecksumValidation: 'WHEN_REQUIRED',
  expectContinueHeader: false,
  retryMode: 'standard',
  defaultsMode: 'standard',
  useArnRegion: false,
  useDualstackEndpoint: false,
  useFipsEndpoint: false,
  disableS3ExpressSessionAuth: true,
  ignoreConfiguredEndpointUrls: true,
  authSchemePreference: async () => [],
  sigv4aSigningRegionSet: async () => undefined,
  userAgentAppId: async () => undefined,
} as const satisfies S3ClientConfig;

/** A page is asked for again, for the caller would have to begin with the first. */
const listRetries: RetryOptions = {
  retries: 3,
  minTimeout: 250,
  factor: 4,
  randomize: true,
  shouldRetry: ({ error }) => error instanceof StoreError && error.failure === 'transient',
};

export function createS3Store(options: S3StoreOptions): Store {
  const { bucket, endpoint, clock = systemClock } = options;
  const { client, signed, close } = connect(options, clock);

  const hide = redactor(
    [options.accessKeyId, options.secretAccessKey, options.sessionToken].filter((secret) => secret !== undefined),
  );
  const about = (key?: string, signal?: AbortSignal): FailureContext => ({
    bucket,
    endpoint,
    now: clock.wall,
    signal,
    hide,
    ...(key === undefined ? {} : { key }),
  });

  return {
    async put(request: PutRequest) {
      try {
        const etag = await putObject(signed, request);
        if (!etag) throw notS3(about(request.key), 200);
        return { etag };
      } catch (error) {
        throw toStoreError(error, about(request.key, request.signal));
      }
    },

    putParts: (request: PutPartsRequest) => uploadParts(client, request, about(request.key, request.signal)),

    async head(key, signal) {
      try {
        const head = await headObject(signed, key, signal);
        if (!head) throw notS3(about(key), 200);
        return head;
      } catch (error) {
        const failure = toStoreError(error, about(key, signal));
        // A reply to HEAD has no body to say whether the object or the bucket is missing: the next PUT will.
        if (failure.status === 404) return undefined;
        throw failure;
      }
    },

    async get(key, options: GetOptions = {}) {
      const failureOf = (error: unknown) => toStoreError(error, about(key, options.signal));
      try {
        const found = await getObject(signed, key, options, failureOf);
        if (!found) throw notS3(about(key), 200);
        return found;
      } catch (error) {
        const failure = failureOf(error);
        if (failure.code === 'NoSuchKey') return undefined;
        throw failure;
      }
    },

    presign: (key, seconds) => signed.presign(key, seconds),

    async *list(prefix, signal): AsyncIterable<ListedObject> {
      const ask = async (token: string | undefined) => {
        try {
          const page = await listPage(signed, prefix, token, signal);
          // Every store says whether there is more; a page of HTML doesn't.
          if (!page) throw notS3(about(), 200);
          return page;
        } catch (error) {
          throw toStoreError(error, about(undefined, signal));
        }
      };
      for (let token: string | undefined, more = true; more; more = token !== undefined) {
        const page = await pRetry(() => ask(token), { ...listRetries, ...(signal ? { signal } : {}) });
        yield* page.objects;
        token = page.next;
      }
    },

    async abortUpload(key, uploadId) {
      // Without its id, the request is the one that deletes the object.
      if (!uploadId) throw new RangeError(`no id of an upload of ${key}`);
      try {
        await client.send(new AbortMultipartUploadCommand({ Bucket: bucket, Key: key, UploadId: uploadId }));
      } catch (error) {
        const failure = toStoreError(error, about(key));
        if (failure.code !== 'NoSuchUpload') throw failure;
      }
    },

    close,
  };
}

/**
 * Two ways on one pool of connections. The client tries again by itself; for a PUT, that would turn our own success into
 * "exists".
 */
function connect(options: S3StoreOptions, clock: Pick<Clock, 'wall'>) {
  const { endpoint, bucket, accessKeyId, secretAccessKey, sessionToken } = options;
  const maxSockets = options.concurrency + 2 * partsAtOnce + 2;
  const requestHandler = new CountingHandler(options.onRequest, {
    connectionTimeout: options.connectTimeoutMs ?? 10_000,
    // Starts again with every slice that leaves, so it measures silence, not slowness.
    socketTimeout: options.idleTimeoutMs ?? 60_000,
    httpAgent: new HttpAgent({ keepAlive: true, maxSockets }),
    httpsAgent: new HttpsAgent({ keepAlive: true, maxSockets }),
  });
  const credentials = { accessKeyId, secretAccessKey, ...(sessionToken === undefined ? {} : { sessionToken }) };
  return {
    client: new S3Client({ ...fixedConfig, endpoint, credentials, maxAttempts: 4, requestHandler }),
    signed: createSigned({ endpoint, bucket, credentials, requestHandler, now: clock.wall }),
    close: () => requestHandler.destroy(),
  };
}
