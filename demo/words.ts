// What the demo tells a person, apart from the log.
import { relative } from 'node:path';
import type { S3Place } from '../test/support/s3-client.ts';
import type { CheckResult } from './check.ts';
import { runDirectory } from './data.ts';
import type { Options } from './options.ts';
import { megabytes } from './screen.ts';

export function introduce(options: Options, place: S3Place, isReal: boolean, statusUrl: string): string {
  const bucket = isReal ? `at ${place.endpoint}` : `in Cloudflare's R2 simulator, kept in ${shown(options.data)}`;
  return `
  Output directory  ${shown(options.output)}
  Bucket            "${place.bucket}" ${bucket}
  Status page       ${statusUrl}
`;
}

export function suggest(options: Options, isReal: boolean): string {
  const flags = [
    ...(shown(options.output) === 'output' ? [] : ['--output', options.output]),
    ...(shown(options.data) === '.r2' ? [] : ['--data', options.data]),
  ];
  const again = ['npm run demo --', ...flags].join(' ');
  const list = `${again} --list`;
  const real = `
  A real bucket     R2_ENDPOINT=https://<account id>.r2.cloudflarestorage.com \\
                    R2_BUCKET=<name> R2_ACCESS_KEY=<key id> R2_SECRET_KEY=<secret> \\
                    ${flags.length > 0 ? again : 'npm run demo'}`;
  return `
  Upload your own   copy any picture, video or sound into ${shown(options.output)}
  See the bucket    ${list}
  Ask the agent     R2_RUN_DIR=${shown(runDirectory(options.data))} npx r2-sync status   (or top, doctor, verify, ls, restore DIRECTORY)${isReal ? '' : real}
  Stop              Ctrl-C
`;
}

/** The check as a table. */
export function describeCheck(result: CheckResult, folder: string): string {
  const rows = result.findings.map(({ sample, problem }) => {
    const row = `  ${problem === undefined ? 'same bytes' : 'NOT STORED'}  ${megabytes(sample.bytes).padStart(8)}  ${sample.path}`;
    return problem === undefined ? row : `${row}\n              ${problem}`;
  });
  const strangers = result.strangers.map((key) => `  NOT OURS              ${key}`);
  const end = result.ok
    ? `All ${rows.length} samples are in the bucket, byte for byte, and nothing else is in outputs/${folder}/.`
    : 'The bucket does not hold exactly the samples.';
  return ['', ...rows, ...strangers, '', end].join('\n');
}

/** A directory as seen from here. */
function shown(directory: string): string {
  const path = relative('.', directory);
  return path === '' ? '.' : path.startsWith('..') ? directory : path;
}
