// Decides whether the samples arrived: every one under the name that docs promise, with exactly its bytes, and nothing
// else of this run. Shares no code with the agent.
import { extname } from 'node:path/posix';
import type { S3Client } from '../test/support/s3-client.ts';
import { type Sample, sha256Of } from './writer.ts';

export interface Finding {
  sample: Sample;
  /** What is wrong; undefined if the object holds the sample's bytes. */
  problem: string | undefined;
}

export interface CheckResult {
  findings: Finding[];
  /** Keys of this run that no sample accounts for. */
  strangers: string[];
  ok: boolean;
}

/** Looks at every object of the run's folder. Rejects where the bucket can't be listed. */
export async function checkBucket(
  client: Pick<S3Client, 'list' | 'get'>,
  folder: string,
  samples: readonly Sample[],
): Promise<CheckResult> {
  const listed = new Set((await client.list(`outputs/${folder}/`)).map(({ key }) => key));
  const findings: Finding[] = [];
  for (const sample of samples) {
    const key = expectedKey(sample);
    const problem = listed.delete(key) ? await compare(client, key, sample) : `there is no ${key}`;
    findings.push({ sample, problem });
  }
  const strangers = [...listed];
  const ok = samples.length > 0 && strangers.length === 0 && findings.every(({ problem }) => problem === undefined);
  return { findings, strangers, ok };
}

/** outputs/<folder>/<day>/<name>-<16 digits of the hash><extension>. */
function expectedKey({ path, sha256, writtenAt }: Sample): string {
  const slash = path.lastIndexOf('/');
  const extension = extname(path);
  const name = path.slice(slash + 1, path.length - extension.length);
  const day = writtenAt.toISOString().slice(0, 10);
  return `outputs/${path.slice(0, slash)}/${day}/${name}-${sha256.slice(0, 16)}${extension}`;
}

async function compare(client: Pick<S3Client, 'get'>, key: string, sample: Sample): Promise<string | undefined> {
  const { status, body } = await client.get(key);
  if (status !== 200) return `${key} can't be read: the store answers ${status}`;
  if (body.length !== sample.bytes) return `${key} has ${body.length} bytes and not ${sample.bytes}`;
  return sha256Of(body) === sample.sha256 ? undefined : `${key} holds other bytes`;
}
