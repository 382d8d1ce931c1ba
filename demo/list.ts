// Shows what is in the bucket, with a client that shares no code with the agent.
import { createS3Client, type S3Place } from '../test/support/s3-client.ts';
import { claimData, readSimulator, startSimulator } from './data.ts';
import { DemoError, describeStoreTrouble } from './errors.ts';
import { megabytes } from './screen.ts';

/**
 * `place` undefined: the simulator's, which is started for the moment if it doesn't run. The exit code.
 * Rejects with DemoError where it can't be listed.
 */
export async function listBucket(data: string, place: S3Place | undefined): Promise<number> {
  const running = place ?? (await findSimulator(data));
  if (running) return printObjects(running);
  claimData(data);
  const simulator = await startSimulator(data);
  try {
    return await printObjects(simulator);
  } finally {
    await simulator.close();
  }
}

/** The simulator, if it answers. */
async function findSimulator(data: string): Promise<S3Place | undefined> {
  const place = readSimulator(data);
  if (!place) return undefined;
  return createS3Client(place)
    .head('')
    .then(
      ({ status }) => (status < 400 ? place : undefined),
      () => undefined,
    );
}

async function printObjects(place: S3Place): Promise<number> {
  const objects = await createS3Client(place)
    .list('')
    .catch((cause) => {
      const bucket = `The bucket "${place.bucket}" at ${place.endpoint}`;
      throw new DemoError(`${bucket} can't be listed. ${describeStoreTrouble(cause)}`, { cause });
    });
  for (const { key, size } of objects) console.log(`${megabytes(size).padStart(12)}  ${key}`);
  const bytes = objects.reduce((sum, { size }) => sum + size, 0);
  console.log(`${objects.length} objects, ${megabytes(bytes)}, in the bucket "${place.bucket}" at ${place.endpoint}`);
  return 0;
}
