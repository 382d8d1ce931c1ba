// The command line: parse, dispatch, exit code. Commands are loaded when they are called, so that each starts quickly.
import { Command, CommanderError, Option } from 'commander';
import { systemClock } from './clock.ts';
import { parseDuration, parseSince } from './commands/times.ts';
import { settingsHelp } from './config/document.ts';
import { ExitCode, errorText, UserError } from './errors.ts';
import { forgoOptimisation, preferSpeed } from './memory.ts';
import { version } from './version.ts';

if (process.argv[2] === 'restore') preferSpeed();
else forgoOptimisation();
// Calls on a volume that hangs must not use up the few threads that everything else needs.
if (!(Number(process.env.UV_THREADPOOL_SIZE) >= 16)) process.env.UV_THREADPOOL_SIZE = '16';

const json = () => new Option('--json', 'print facts as JSON').default(false);

function createProgram(setExitCode: (code: ExitCode) => void): Command {
  const program = new Command('r2-sync')
    .description('Uploads every finished ComfyUI output to Cloudflare R2: once, whole, within moments.')
    .version(version)
    .showHelpAfterError('(r2-sync --help lists commands and settings)')
    .enablePositionalOptions()
    .exitOverride()
    .addHelpText(
      'after',
      () =>
        `\nExit codes: 0 done, 1 unexpected, 2 settings or usage, 3 something is left, 4 the store refuses us\n\n${settingsHelp()}`,
    );

  program
    .command('run')
    .description('watch the output directory and upload, until stopped')
    .action(async () => setExitCode(await (await import('./commands/run.ts')).run()));
  program
    .command('sync')
    .description('upload what is there, once, then exit')
    .addOption(json())
    .action(async (options) => setExitCode(await (await import('./commands/sync.ts')).sync(options)));
  program
    .command('plan')
    .description('say what would be uploaded and what is skipped, and why; writes nothing, asks no store')
    .addOption(json())
    .action(async (options) => setExitCode(await (await import('./commands/plan.ts')).plan(options)));
  program
    .command('status')
    .description('what is stored, pending and parked, from the running agent or else from the ledger')
    .option('--watch', 'the same picture in the whole terminal, again each second')
    .addOption(json().conflicts('watch'))
    .action(async (options) => {
      const watched = options.watch ? (await import('./commands/top.ts')).top() : undefined;
      setExitCode(await (watched ?? (await import('./commands/status.ts')).status(options)));
    });
  program
    .command('top')
    .description('what is stored and on its way, in the whole terminal, again each second (status --watch)')
    .action(async () => setExitCode(await (await import('./commands/top.ts')).top()));
  program
    .command('leases')
    .description('which pod uploads which folder, since when, and when it last showed that it lives')
    .addOption(json())
    .action(async (options) => setExitCode(await (await import('./commands/leases.ts')).leases(options)));
  program
    .command('wait')
    .description('wait until nothing is pending: may the pod be stopped now?')
    .addOption(json())
    .addOption(new Option('--timeout <seconds>', 'give up after so many seconds (exit code 3)').argParser(parseSeconds))
    .action(async (options) => setExitCode(await (await import('./commands/wait.ts')).wait(options)));
  program
    .command('probe')
    .description('put one small object: may this pod write to its bucket?')
    .option('--folder <name>', 'below this folder of the output directory, for a token that may write there only')
    .addOption(json())
    .action(async (options) => setExitCode(await (await import('./commands/probe.ts')).probe(options)));
  program
    .command('doctor')
    .description('check all that uploads depend on, and say what to do about what is not good')
    .option('--folder <name>', 'try the bucket below this folder, for a token that may write there only')
    .addOption(json())
    .action(async (options) => setExitCode(await (await import('./commands/doctor.ts')).doctor(options)));
  program
    .command('verify')
    .description('compare ledger, volume and bucket: is everything there? What is missing where, and what to do')
    .option('--folder <name>', 'only this folder of the output directory')
    .option('--deep', 'read the bytes back, of the bucket and of the volume, and hash them', false)
    .option('--repair', 'upload again what is missing or wrong in the bucket and still whole on the volume', false)
    .addOption(json())
    .action(async (options) => setExitCode(await (await import('./commands/verify.ts')).verify(options)));
  program
    .command('restore')
    .description(
      'bring files back from the bucket, under the names and with the times that they had; checks every byte, fetches only what isn’t there yet, and goes on where an earlier run stopped',
    )
    .argument('[directory]', 'where to; made if it isn’t there (default: the output directory, COMFYUI_OUTPUT_DIR)')
    .addOption(repeated('--folder <name>', 'only this folder; "." is what lies in none'))
    .addOption(repeated('--match <glob>', 'only names like this, as in R2_EXCLUDE'))
    .addOption(
      new Option('--since <time>', 'only files written since a date or a time ago: 2026-11-20, 24h, 7d').argParser(
        readSince,
      ),
    )
    .option('--overwrite', 'replace files that are there with other bytes; without it they stay, and are listed', false)
    .option('--dry-run', 'only say what would be done', false)
    .addOption(json())
    .addHelpText(
      'after',
      '\nA name that had several contents gives all of them: the newest under its own name, the others with the first 16\n' +
        'digits of their hash. A running agent sees that what comes back to its output directory is in the bucket already;\n' +
        'only those older contents have new names, and are uploaded once more under them.\n' +
        'Exit code 3 means that something is missing; the result says what and why.',
    )
    .action(async (directory, options) =>
      setExitCode(await (await import('./commands/restore.ts')).restore(directory, options)),
    );
  program
    .command('ls')
    .description('what is in the bucket: folders, then files; one request for each thousand objects')
    .argument(
      '[path]',
      'a folder or file as on the pod (alice, alice/x.png), or the beginning of a key (outputs/alice/)',
    )
    .option('--folder <name>', 'only this folder')
    .option('--long', 'whole keys, sizes in bytes', false)
    .addOption(json())
    .addHelpText(
      'after',
      '\nNames are told from keys, which is cheap; a name that had to be cut or escaped for its key is shown so.',
    )
    .action(async (path, options) => setExitCode(await (await import('./commands/ls.ts')).ls(path, options)));
  program
    .command('link')
    .description('print a URL that opens one file for whoever has it, without keys, until it expires')
    .argument('<path>', 'a file of the output directory (alice/x.png, or its absolute path), or a key')
    .addOption(
      new Option('--expires <time>', 'how long it is good for, at most 7d: 30min, 12h, 7d')
        .argParser(readExpiry)
        .default(86_400, '1d'),
    )
    .addOption(json())
    .addHelpText(
      'after',
      '\nThe URL can be opened as often as anybody likes until it expires, and can’t be taken back but by revoking the token\n' +
        'that made it. It shows the access key’s id, never the secret. The file’s metadata (its path on the pod) goes with it.',
    )
    .action(async (path, options) => setExitCode(await (await import('./commands/link.ts')).link(path, options)));
  program
    .command('notify')
    .description('send a test message to R2_WEBHOOK_URL: do messages arrive?')
    .addOption(json())
    .action(async (options) => setExitCode(await (await import('./commands/notify.ts')).notify(options)));
  program
    .command('manifest')
    .description('a list of everything as JSON lines: path, size, mtime, sha256 and key of each file')
    .addOption(
      new Option('--from <source>', 'whom to ask; bytes are read from the volume alone')
        .choices(['ledger', 'volume', 'bucket'])
        .default('ledger'),
    )
    .option('--folder <name>', 'only this folder of the output directory')
    .action(async (options) => setExitCode(await (await import('./commands/manifest.ts')).manifest(options)));
  program
    .command('exec')
    .description('run a command with the agent beside it: signals forwarded, drained at the end')
    .usage('-- COMMAND [ARGUMENT ...]')
    .argument('<command>')
    .argument('[arguments...]')
    .passThroughOptions()
    .action(async (command, args) => setExitCode(await (await import('./commands/exec.ts')).exec(command, args)));
  program
    .command('config')
    .description(
      'settings of this machine: they come before the container’s variables, and last as long as the container',
    )
    .command('set')
    .description('keep NAME=VALUE for this machine; a running agent takes it up by itself; an empty VALUE forgets it')
    .argument('<name=value...>')
    .action(async (assignments) =>
      setExitCode(await (await import('./commands/config-set.ts')).configSet(assignments)),
    );
  return program;
}

/** An option that may be given several times. */
function repeated(flags: string, description: string): Option {
  return new Option(flags, `${description} (may be repeated)`)
    .default([] as string[], 'all')
    .argParser((value: string, previous: string[]) => [...previous, value]);
}

function readSince(text: string): number {
  const since = parseSince(text, systemClock.wall());
  if (since === undefined)
    throw new UserError(`--since ${text} is no time`, 'For example --since 2026-11-20 or --since 24h', ExitCode.usage);
  return since;
}

/** S3 takes no link for longer. */
const LONGEST_LINK = 7 * 86_400;

function readExpiry(text: string): number {
  const seconds = parseDuration(text);
  if (seconds !== undefined && seconds <= LONGEST_LINK) return seconds;
  const problem = seconds === undefined ? 'is no time' : 'is too long: stores take at most 7 days';
  throw new UserError(`--expires ${text} ${problem}`, 'For example --expires 30min, 12h or 7d', ExitCode.usage);
}

function parseSeconds(text: string): number {
  const seconds = Number(text);
  if (!(seconds > 0))
    throw new UserError(`--timeout ${text} is no number of seconds`, 'For example --timeout 600', ExitCode.usage);
  return seconds;
}

async function main(): Promise<ExitCode> {
  let code: ExitCode = ExitCode.done;
  try {
    await createProgram((result) => {
      code = result;
    }).parseAsync();
    return code;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? ExitCode.done : ExitCode.usage;
    if (error instanceof UserError) {
      console.error(`r2-sync: ${error.message}\n${error.fix}`);
      return error.exitCode;
    }
    console.error(`r2-sync: something unexpected happened: ${error instanceof Error ? error.stack : errorText(error)}`);
    return ExitCode.unexpected;
  }
}

/** An exit drops what a pipe hasn't taken yet. Resolves too where nobody reads any more. */
async function flush(stream: NodeJS.WriteStream): Promise<void> {
  stream.on('error', () => {});
  await new Promise((resolve) => stream.write('', resolve));
}

/** A log that nobody reads keeps no agent from ending; a list is waited for, however long its reader takes. */
const LOG_MS = 1000;
const isAgent = process.argv[2] === 'run' || process.argv[2] === 'exec';

const code = await main();
const flushed = Promise.all([flush(process.stdout), flush(process.stderr)]);
await (isAgent ? Promise.race([flushed, systemClock.sleep(LOG_MS)]) : flushed);
process.exit(code);
