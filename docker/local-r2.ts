// Cloudflare's R2 simulator in a container: a bucket without an account, kept in /data. It listens on loopback, as r2-sync
// sends keys over plain http nowhere else; so whoever uses it shares its network (see docker-compose.yml).
// `check` asks it whether it is there, for the image's HEALTHCHECK.
import { startMiniflare } from '../test/support/miniflare.ts';

const port = Number(process.env.LOCAL_R2_PORT || 9000);

if (process.argv[2] === 'check') await check();
else await serve();

/** Until SIGTERM, which the simulator hears itself. */
async function serve(): Promise<void> {
  const simulator = await startMiniflare({
    port,
    persist: process.env.LOCAL_R2_DATA || '/data',
    bucket: process.env.R2_BUCKET || 'runpod',
  });
  console.log(`A local R2 bucket, kept in /data. For r2-sync in the same network namespace:
R2_ENDPOINT=${simulator.endpoint} R2_BUCKET=${simulator.bucket}
R2_ACCESS_KEY=${simulator.accessKeyId}
R2_SECRET_KEY=${simulator.secretAccessKey}
(These keys are the same everywhere and open nothing but this simulator.)`);
}

/** Any answer will do. */
async function check(): Promise<void> {
  try {
    await fetch(`http://127.0.0.1:${port}/`);
  } catch (error) {
    console.error(`the simulator doesn't answer on port ${port}: ${(error as Error).message}`);
    process.exitCode = 1;
  }
}
