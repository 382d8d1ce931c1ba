// Decides what a failure of the store means: one table from the store's and the system's codes to a class and to what
// the user can do about it. A code that isn't in it is transient: trying again later loses nothing.
import { errorCode, errorText } from '../errors.ts';
import { printable } from '../paths.ts';
import { type FailureClass, StoreError } from './store.ts';

export interface FailureContext {
  bucket: string;
  endpoint: string;
  /** The object that the call was about. */
  key?: string;
  /** The caller's signal: what fails after it was aborted was stopped by us. */
  signal?: AbortSignal | undefined;
  /** Cuts our keys out of what others say: whatever is on the way may repeat what it was sent. */
  hide?: (text: string) => string;
  /** This machine's wall clock, epoch ms. */
  now?: () => number;
}

interface Finding extends FailureContext {
  code: string;
  /** Our clock minus the store's, ms; undefined if its reply had no date. */
  skewMs: number | undefined;
}

type Fix = (finding: Finding) => string;
type Row = readonly [FailureClass, Fix];

// On RunPod, editing a pod's variables resets its disk, and with it the files that wait.
const howToChange =
  'change settings with `r2-sync config set NAME=VALUE` on the pod: editing the variables of a RunPod pod resets its disk';

const jurisdiction =
  'a bucket in a jurisdiction is reachable only at https://ACCOUNT.eu.r2.cloudflarestorage.com (or .fedramp. in place of .eu.)';

const wait: Fix = () => 'nothing to do: the agent tries again by itself';
const network: Fix = ({ endpoint }) =>
  `the agent tries again by itself; if it goes on, check R2_ENDPOINT (${endpoint}) and the pod's network`;
const certificate: Fix = () =>
  "check R2_ENDPOINT and the pod's clock; behind a proxy that inspects traffic, name its certificate in NODE_EXTRA_CA_CERTS";
const access: Fix = ({ bucket }) =>
  `check R2_ACCESS_KEY and R2_SECRET_KEY, that the token may read and write objects in bucket "${bucket}", and R2_ENDPOINT: ` +
  `${jurisdiction}; ${howToChange}`;
const token: Fix = () => `the temporary credentials have ended: get new ones and set R2_SESSION_TOKEN; ${howToChange}`;
const noBucket: Fix = ({ bucket }) =>
  `create bucket "${bucket}" or correct R2_BUCKET; if it is there, check R2_ENDPOINT: ${jurisdiction}; ${howToChange}`;
const address: Fix = ({ endpoint }) =>
  `R2_ENDPOINT is ${endpoint}; it should be https://ACCOUNT.r2.cloudflarestorage.com, as the dashboard shows it; ${howToChange}`;
const clock: Fix = ({ skewMs }) =>
  skewMs === undefined
    ? "set this machine's clock: signatures hold only for 15 minutes"
    : `set this machine's clock: it is ${duration(Math.abs(skewMs))} ${skewMs > 0 ? 'ahead of' : 'behind'} the store's`;
const signature: Fix = (finding) => (isSkewed(finding.skewMs) ? clock(finding) : access(finding));
const rename: Fix = () =>
  'give the file a shorter path, or set a shorter R2_KEY_TEMPLATE; what is stored already stays as it is';
const smaller: Fix = () => 'the file is larger than the store takes: make it smaller, or copy it by other means';
const locked: Fix = ({ bucket }) =>
  `a lock rule of bucket "${bucket}" protects this key: change the rule or R2_KEY_TEMPLATE`;

const transient: Row = ['transient', wait];
const unreachable: Row = ['transient', network];
const untrusted: Row = ['transient', certificate];
const changed: Row = ['changed', wait];
const restart: Row = ['restart', wait];
const exists: Row = ['exists', wait];
const refused: Row = ['refused', access];
const ended: Row = ['refused', token];
const elsewhere: Row = ['refused', address];
const tooLong: Row = ['park', rename];
const tooLarge: Row = ['park', smaller];

const byCode: Readonly<Record<string, Row>> = {
  // The store's own.
  TooManyRequests: transient,
  SlowDown: transient,
  InternalError: transient,
  ServiceUnavailable: transient,
  RequestTimeout: transient,
  ClientDisconnect: transient,
  IncompleteBody: transient,
  BadDigest: changed,
  XAmzContentSHA256Mismatch: changed,
  NoSuchUpload: restart,
  InvalidPart: restart,
  InvalidPartOrder: restart,
  PreconditionFailed: exists,
  ConditionalRequestConflict: exists,
  SignatureDoesNotMatch: ['transient', signature],
  RequestTimeTooSkewed: ['refused', clock],
  Unauthorized: refused,
  AccessDenied: refused,
  InvalidAccessKeyId: refused,
  AuthorizationHeaderMalformed: refused,
  AllAccessDisabled: refused,
  AccountProblem: refused,
  NotSignedUp: refused,
  ExpiredToken: ended,
  InvalidToken: ended,
  NoSuchBucket: ['refused', noBucket],
  InvalidBucketName: ['refused', noBucket],
  PermanentRedirect: elsewhere,
  TemporaryRedirect: elsewhere,
  InvalidRegionName: elsewhere,
  MethodNotAllowed: elsewhere,
  NotS3: elsewhere,
  EntityTooLarge: tooLarge,
  MetadataTooLarge: tooLong,
  KeyTooLong: tooLong,
  KeyTooLongError: tooLong,
  InvalidObjectName: tooLong,
  InvalidURI: tooLong,
  ObjectLockedByBucketPolicy: ['park', locked],
  // Ours, from Node: a header that can't be sent is no better the next time.
  ERR_INVALID_CHAR: tooLong,
  // The system's: no reply came.
  ECONNREFUSED: unreachable,
  ECONNRESET: unreachable,
  EPIPE: unreachable,
  ETIMEDOUT: unreachable,
  ENOTFOUND: unreachable,
  EAI_AGAIN: unreachable,
  EHOSTUNREACH: unreachable,
  ENETUNREACH: unreachable,
  TimeoutError: unreachable,
  EPROTO: unreachable,
  CERT_HAS_EXPIRED: untrusted,
  CERT_NOT_YET_VALID: untrusted,
  DEPTH_ZERO_SELF_SIGNED_CERT: untrusted,
  SELF_SIGNED_CERT_IN_CHAIN: untrusted,
  UNABLE_TO_GET_ISSUER_CERT: untrusted,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: untrusted,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: untrusted,
  ERR_TLS_CERT_ALTNAME_INVALID: untrusted,
};

/** For replies without the store's code: HEAD has no body, and proxies answer with pages of HTML. */
const byStatus: Readonly<Record<number, string>> = {
  301: 'PermanentRedirect',
  302: 'TemporaryRedirect',
  303: 'TemporaryRedirect',
  307: 'TemporaryRedirect',
  308: 'PermanentRedirect',
  401: 'Unauthorized',
  403: 'AccessDenied',
  404: 'NoSuchBucket',
  405: 'MethodNotAllowed',
  408: 'RequestTimeout',
  409: 'ConditionalRequestConflict',
  412: 'PreconditionFailed',
  413: 'EntityTooLarge',
  429: 'TooManyRequests',
  500: 'InternalError',
  503: 'ServiceUnavailable',
};

const wrongKey = (bucket: string) => `the secret key is wrong, or the token may not use bucket "${bucket}"`;
/** What a refusal without a word most likely means: nobody says it for the store. */
const likely: Readonly<Record<string, (bucket: string) => string>> = {
  Unauthorized: wrongKey,
  AccessDenied: wrongKey,
  NoSuchBucket: (bucket) => `there is no bucket "${bucket}" at this endpoint`,
  RequestTimeTooSkewed: () => "it is this machine's clock",
};

/** What happened, in words, where the store said nothing. */
const inWords: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nothing listens there',
  ECONNRESET: 'the connection was cut',
  EPIPE: 'the connection was cut',
  ETIMEDOUT: 'no answer in time',
  TimeoutError: 'no answer in time',
  ENOTFOUND: 'there is no host of that name',
  EAI_AGAIN: 'the name server does not answer',
  EHOSTUNREACH: 'there is no way to it',
  ENETUNREACH: 'there is no network',
  EPROTO: 'it does not speak TLS',
  CERT_HAS_EXPIRED: 'its certificate has expired',
  CERT_NOT_YET_VALID: 'its certificate is not valid yet',
  ERR_TLS_CERT_ALTNAME_INVALID: 'its certificate is for another host',
  ERR_INVALID_CHAR: 'its metadata has characters that HTTP does not carry',
};

/** Makes a StoreError of anything that a call of the SDK throws. Never tells secrets, signatures or headers. */
export function toStoreError(error: unknown, about: FailureContext): StoreError {
  if (error instanceof StoreError) return error;
  if (about.signal?.aborted)
    return new StoreError('aborted', 'Aborted', 'stopped before it was done', wait(find(about, 'Aborted')));
  const status = (error as Reply | null)?.$metadata?.httpStatusCode ?? (error as Reply | null)?.$response?.statusCode;
  return status === undefined ? unanswered(error, about) : answered(error as Reply, status, about);
}

/** Whatever answers there with 200 isn't a store: it stored nothing. */
export function notS3(about: FailureContext, status?: number): StoreError {
  const message = `something answers at ${about.endpoint}, but it isn't an S3 store`;
  return new StoreError('refused', 'NotS3', message, address(find(about, 'NotS3')), status);
}

/** Names that the SDK gives to errors that have none. */
const unnamed = new Set(['Unknown', 'UnknownError', 'Error', 'S3ServiceException', 'NotFound', 'Forbidden', '']);

/** What the SDK's errors have in common: facts about the reply, hidden in the error. */
interface Reply {
  name?: unknown;
  Code?: unknown;
  message?: unknown;
  $metadata?: { httpStatusCode?: number };
  $response?: { statusCode?: number; headers?: Record<string, string> };
}

function answered(error: Reply, status: number, about: FailureContext): StoreError {
  if (status >= 200 && status < 300) return notS3(about, status);
  const said =
    typeof error.message === 'string' && error.message !== 'UnknownError' ? readable(error.message, about) : '';
  const own = ownCode(error, said, about);
  const date = Date.parse(error.$response?.headers?.date ?? '');
  const skewMs = Number.isNaN(date) ? undefined : (about.now ?? Date.now)() - date;
  const code =
    own ?? (status === 403 && isSkewed(skewMs) ? 'RequestTimeTooSkewed' : byStatus[status]) ?? `HTTP${status}`;
  const [failure, fix] = byCode[code] ?? transient;
  const subject = subjectOf(about);
  const guess = likely[code]?.(about.bucket);
  const message =
    own === undefined
      ? `the store answered ${status} for ${subject} and gave no reason${guess ? `: most likely ${guess}` : ''}`
      : `the store answered ${own} (${status}) for ${subject}${said === '' || said === own ? '' : `: ${said}`}`;
  return new StoreError(failure, code, message, fix(find(about, code, skewMs)), status);
}

function unanswered(error: unknown, about: FailureContext): StoreError {
  const name = error instanceof Error ? error.name : 'Error';
  const code = errorCode(error) ?? name;
  const text = readable(errorText(error), about);
  const row = byCode[code] ?? (errorCode(error) === undefined ? transient : unreachable);
  const [failure, fix] = row;
  const message =
    row === unreachable || row === untrusted
      ? `can't reach ${hostOf(about.endpoint)}: ${inWords[code] ?? text} (${code})`
      : `${subjectOf(about)} could not be sent: ${inWords[code] ?? text} (${code})`;
  return new StoreError(failure, code, message, fix(find(about, code)));
}

/** The code that the store itself gave, if it gave one. */
function ownCode(error: Reply, said: string, about: FailureContext): string | undefined {
  // R2's answer to an access key of the wrong length.
  if (error.name === 'InvalidArgument' && /credential|access key|authorization/i.test(said))
    return 'InvalidAccessKeyId';
  const names = [error.Code, error.name].filter((name): name is string => typeof name === 'string');
  const own = names.find((name) => byCode[name] !== undefined) ?? names.find((name) => !unnamed.has(name));
  return (own && readable(own, about)) || undefined;
}

/** What the call was about, for people: whoever may write to a bucket may have made the key up. */
function subjectOf({ key, bucket }: FailureContext): string {
  return key === undefined ? `bucket "${bucket}"` : printable(key);
}

/** Signatures hold for 15 minutes; a clock that is out by a third of that is the first thing to look at. */
function isSkewed(skewMs: number | undefined): boolean {
  return skewMs !== undefined && Math.abs(skewMs) > 5 * 60_000;
}

function find(about: FailureContext, code: string, skewMs?: number): Finding {
  return { ...about, code, skewMs };
}

/** One short line that can't act on a terminal, and nothing in it that was part of a signature. */
function readable(text: string, { hide = (same) => same }: FailureContext): string {
  const line = printable(
    hide(text)
      .replace(/[\s\u0000-\u001f]+/g, ' ')
      .trim(),
  );
  if (/AWS4-HMAC|Signature=|Credential=|authorization:|x-amz-|<html|<!doctype/i.test(line)) return '';
  return line.length > 200 ? `${line.slice(0, 200)} …` : line;
}

function hostOf(endpoint: string): string {
  return URL.canParse(endpoint) ? new URL(endpoint).host : endpoint;
}

function duration(ms: number): string {
  const minutes = Math.round(ms / 60_000);
  if (minutes < 120) return `${minutes} min`;
  return minutes < 48 * 60 ? `${Math.round(minutes / 60)} h` : `${Math.round(minutes / 1440)} days`;
}
