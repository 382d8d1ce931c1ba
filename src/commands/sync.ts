// `r2-sync sync`: one pass over the output directory, then exit.
import { Agent } from '../agent.ts';
import { systemClock } from '../clock.ts';
import { ExitCode } from '../errors.ts';
import { renderStatus } from '../status/render.ts';
import { VolumeGate } from '../volume/gate.ts';
import { printJson, terminalWidth, wantsColor } from './output.ts';
import { createCommandLog, requireConfig } from './settings.ts';

export async function sync(options: { json: boolean }): Promise<ExitCode> {
  const { config, warnings, secrets } = requireConfig(true);
  const log = createCommandLog(config.logLevel, secrets);
  for (const warning of warnings) log.warn(warning);
  const agent = new Agent({
    config,
    problems: [],
    log,
    clock: systemClock,
    hints: false,
    volumeGate: new VolumeGate(systemClock),
    onUpload: () => {},
    onReady: () => {},
    onRequest: undefined,
    reasons: () => [],
  });
  const interrupt = () => process.exit(ExitCode.left);
  process.once('SIGINT', interrupt);
  process.once('SIGTERM', interrupt);
  agent.start();
  await agent.finishPass();
  const left = agent.snapshot();
  await agent.close();
  if (options.json) printJson(left);
  else console.log(renderStatus(left, { color: wantsColor(), width: terminalWidth() }));
  if (left.state === 'failing') return ExitCode.refused;
  return left.safeToStop ? ExitCode.done : ExitCode.left;
}
