// Decides what an endpoint means: where requests go, and which bucket the dashboard's address names.

/** Either what the endpoint says, or why it can't be used. `why` continues a sentence that starts with its name. */
type Endpoint =
  | { ok: true; endpoint: string /** From a path `/<bucket>`. */; bucket: string | undefined }
  | { ok: false; why: string; fix: string };

/** Bucket names of R2 and S3. */
export const bucketPattern = /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/;

const shape = 'https://<account id>.r2.cloudflarestorage.com';
const copyIt = `Copy the S3 API address from Cloudflare's dashboard (R2, your bucket, Settings): ${shape}`;

/** Reads an endpoint. Its text may hold credentials, so only what was checked to be a host or a path is repeated. */
export function parseEndpoint(text: string): Endpoint {
  if (!/^[a-z][a-z\d+.-]*:\/\//i.test(text)) return withoutScheme(text);
  if (!URL.canParse(text)) return wrong("isn't an address", copyIt);
  const url = new URL(text);
  const loopback = isLoopback(url.hostname);
  if (url.protocol !== 'https:' && url.protocol !== 'http:') {
    return wrong('must start with https://', copyIt);
  }
  if (url.username !== '' || url.password !== '') {
    return wrong('holds a user name or password', 'Take them off; keys go into R2_ACCESS_KEY and R2_SECRET_KEY');
  }
  if (/[?#]/.test(text)) {
    return wrong('has a query (? or #)', `Take off everything from there on: ${shape} is enough`);
  }
  if (url.protocol === 'http:' && !loopback) {
    return wrong('is http, which would send your files unencrypted', 'Write https:// instead of http://');
  }
  if (/(^|\.)r2\.dev$/.test(url.hostname)) {
    return wrong('is the public address of a bucket (r2.dev), where nothing can be written', copyIt);
  }
  const path = url.pathname.replace(/\/+$/, '');
  // A simulator on this machine serves S3 below a path of its own; it says nothing about buckets.
  if (path === '' || loopback) return { ok: true, endpoint: url.origin + path, bucket: undefined };
  const bucket = path.slice(1);
  if (bucketPattern.test(bucket)) return { ok: true, endpoint: url.origin, bucket };
  return wrong('has a path that is no bucket name', `Take the path off: ${url.origin}`);
}

function wrong(why: string, fix: string): Endpoint {
  return { ok: false, why, fix };
}

function withoutScheme(text: string): Endpoint {
  const host = /^((?:[a-z\d-]+\.)+[a-z\d-]+|localhost|\[[\da-f:]+\])(:\d+)?\/?$/i.exec(text);
  const scheme = host && isLoopback(host[1]!.toLowerCase()) ? 'http' : 'https';
  return wrong(`has no ${scheme}:// in front`, host ? `Write ${scheme}://${text}` : copyIt);
}

/** Whether a host, as URL writes it, is this machine. */
function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(host);
}
