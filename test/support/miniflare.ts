// Cloudflare's R2 simulator with its S3 endpoint: the store that tests and the demo believe.
import { Miniflare } from 'miniflare';
import type { S3Place } from './s3-client.ts';

export interface RunningMiniflare extends S3Place {
  close(): Promise<void>;
}

export interface MiniflareOptions {
  /** Directory that keeps the bucket; without it everything is forgotten at the end. */
  persist?: string;
  /** Default: `runpod`. */
  bucket?: string;
  /** 0, the default, takes a free one. */
  port?: number;
}

export async function startMiniflare(options: MiniflareOptions = {}): Promise<RunningMiniflare> {
  const bucket = options.bucket ?? 'runpod';
  const s3Credentials = { accessKeyId: '0123456789abcdef'.repeat(2), secretAccessKey: 'fedcba9876543210'.repeat(4) };
  const miniflare = new Miniflare({
    modules: true,
    script: 'export default { fetch: () => new Response(null, { status: 404 }) }',
    compatibilityDate: '2026-01-01',
    host: '127.0.0.1',
    port: options.port ?? 0,
    r2Buckets: { BUCKET: { id: bucket, s3Credentials } },
    ...(options.persist === undefined ? {} : { r2Persist: options.persist }),
  });
  const url = await miniflare.ready;
  return {
    endpoint: new URL('/cdn-cgi/local/r2/s3', url).href,
    bucket,
    ...s3Credentials,
    close: () => miniflare.dispose(),
  };
}
