// The store double as a process of its own, for benches and shells:
//   node test/support/store-double-cli.ts --port 9000 --access-key A --secret-key B
// prints one line of JSON with its endpoint. GET /-/log, /-/objects, /-/uploads and /-/count tell what happened (times are epoch ms
// with fraction; /-/log?from=N leaves out the first N); POST /-/reset forgets it. Ends on SIGTERM, SIGINT, or when the process that started it ends with
// --with-parent.
import { parseArgs } from 'node:util';
import { startStoreDouble } from './store-double.ts';

const { values } = parseArgs({
  options: {
    port: { type: 'string', default: '0' },
    bucket: { type: 'string', default: 'runpod' },
    'access-key': { type: 'string' },
    'secret-key': { type: 'string' },
    'no-verify': { type: 'boolean', default: false },
    'no-signatures': { type: 'boolean', default: false },
    discard: { type: 'boolean', default: false },
    'latency-ms': { type: 'string', default: '0' },
    'error-rate': { type: 'string', default: '0' },
    'with-parent': { type: 'boolean', default: false },
  },
});

const double = await startStoreDouble({
  port: Number(values.port),
  buckets: [values.bucket],
  verify: !values['no-verify'],
  checkSignatures: !values['no-signatures'],
  discardBodies: values.discard,
  latencyMs: Number(values['latency-ms']),
  errorRate: Number(values['error-rate']),
  ...(values['access-key'] === undefined ? {} : { accessKeyId: values['access-key'] }),
  ...(values['secret-key'] === undefined ? {} : { secretAccessKey: values['secret-key'] }),
});
const { accessKeyId, secretAccessKey } = double.settings;
process.stdout.write(
  `${JSON.stringify({ endpoint: double.endpoint, bucket: values.bucket, accessKeyId, secretAccessKey })}\n`,
);
if (values['with-parent']) process.stdin.resume().on('end', () => process.exit(0));
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => process.exit(0));
