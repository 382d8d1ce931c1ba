// What the demo is asked to do.
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';

export interface Options {
  mode: 'help' | 'stay' | 'once' | 'list';
  /** Absolute. What ComfyUI would write into. */
  output: string;
  /** Absolute. The simulator's bucket, and what the demo remembers. */
  data: string;
}

export const help = `npm run demo              the simulator, the agent and a few samples; stays until Ctrl-C
npm run demo -- --once    the same without a person: checks that all arrived, exits 0 or 1
npm run demo -- --list    what is in the bucket

  --output DIR            the output directory (default: output)
  --data DIR              where the simulator keeps its bucket (default: .r2)

The bucket is one of Cloudflare's R2 simulator on this machine. To use a real one, set these:
  R2_ENDPOINT             https://<account id>.r2.cloudflarestorage.com
  R2_BUCKET               its name (default: runpod)
  R2_ACCESS_KEY           Access Key ID of an R2 API token with "Object Read & Write" on it
  R2_SECRET_KEY           Secret Access Key of that token
Each may be given as a file instead: R2_SECRET_KEY_FILE=/path. Everything in the output directory goes there,
and stays there: r2-sync never deletes an object.`;

/** Throws TypeError, with a message for people, for what isn't an option. */
export function parseOptions(args: string[]): Options {
  const { values } = parseArgs({
    args,
    options: {
      help: { type: 'boolean', short: 'h', default: false },
      once: { type: 'boolean', default: false },
      list: { type: 'boolean', default: false },
      output: { type: 'string', default: 'output' },
      data: { type: 'string', default: '.r2' },
    },
  });
  if (values.once && values.list) throw new TypeError('--once and --list are two different things: use one of them.');
  return {
    mode: values.help ? 'help' : values.once ? 'once' : values.list ? 'list' : 'stay',
    output: resolve(values.output),
    data: resolve(values.data),
  };
}
