// `r2-sync top` on a real terminal: what it shows follows the agent and the window, and the terminal is as it was before,
// however it ends.
import { constants } from 'node:os';
import { describe, expect, test } from 'vitest';
import { bigPicture, bundleFile, makeScene, type Scene } from '../agent/scene.ts';
import { canOpenTerminal, openTerminal, type Terminal } from '../support/terminal.ts';

const LEFT = '\u001b[?7h\u001b[?25h\u001b[?1049l';

if (!canOpenTerminal) console.warn('!!! WARNING: no python3 with pty here: `r2-sync top` was NOT TRIED on a terminal.');

function openTop(
  scene: Scene,
  port: string,
  { columns = 80, rows = 24, args = ['top'], settings = {} } = {},
): Terminal {
  const env = scene.env({ R2_STATUS_PORT: port, TERM: 'xterm-256color', ...settings });
  return openTerminal([process.execPath, bundleFile, ...args], env, columns, rows);
}

describe.skipIf(!canOpenTerminal).concurrent('on a terminal', () => {
  test('shows how far uploads are, follows the window, and gives the terminal back on q', async (context) => {
    const scene = await makeScene(context);
    await scene.draw('alice/small.png', 'bob/other.png');
    // Half of it arrives; the rest waits until we have looked.
    let parts = 0;
    scene.double.fault = ({ operation }) => {
      if (operation !== 'UploadPart') return undefined;
      parts += 1;
      return parts > 1 ? 'hang' : undefined;
    };
    await scene.write('alice/large.png', bigPicture(17));
    const agent = await scene.start();
    const terminal = openTop(scene, new URL(agent.url).port);
    context.onTestFinished(() => terminal.kill());
    await terminal.until((screen) => /alice\/large\.png +█+░+ +\d+ % +18 MB/.test(screen), 'the bar');
    await terminal.until((screen) => /Stored last\n.*\.png +\d+ bytes/.test(screen), 'what was stored');
    expect(terminal.screen()[0]).toMatch(/1 file is on its way.*don't stop the pod yet/);
    expect(terminal.screen()).toHaveLength(24);
    expect(terminal.screen().at(-1)).toMatch(/^q quits · r2-sync .*runpod/);
    terminal.resize(40, 12);
    await terminal.until((screen) => screen.split('\n').length === 12, 'the smaller window');
    for (const line of terminal.screen()) expect(line.length).toBeLessThanOrEqual(40);
    expect(terminal.screen().join('\n')).toMatch(/large\.png +█+░+ +\d+ %/);
    terminal.press('q');
    expect(await terminal.ended).toEqual({ code: 0, sane: true });
    expect(terminal.output().endsWith(LEFT)).toBe(true);
  });

  test('says that no agent runs, and shows it when it does; status --watch is the same', async (context) => {
    const scene = await makeScene(context);
    await scene.draw('a.png');
    const first = await scene.start();
    const { port } = new URL(first.url);
    await first.stop();
    const terminal = openTop(scene, port, { args: ['status', '--watch'] });
    context.onTestFinished(() => terminal.kill());
    await terminal.until((screen) => /No agent answers here[\s\S]*r2-sync run/.test(screen), 'no agent');
    const agent = await scene.start({ R2_STATUS_PORT: port });
    await terminal.until((screen) => screen.startsWith('The only file is in the bucket'), 'the agent');
    await agent.stop();
    await terminal.until((screen) => screen.startsWith('No agent answers here'), 'it is gone');
    terminal.press('\u0003');
    expect(await terminal.ended).toEqual({ code: 0, sane: true });
  });

  test('nothing that a name holds reaches the terminal, and NO_COLOR is minded', async (context) => {
    const scene = await makeScene(context);
    scene.double.fault = ({ key }) =>
      /evil/.test(key) ? { status: 400, code: 'KeyTooLongError', message: 'too\u001b[31m long' } : undefined;
    await scene.draw('bob/evil\u001b[2J\u001b]0;owned\u0007.png', 'bob/\u202egnp.good.png');
    const agent = await scene.start();
    await agent.until(({ totals }) => totals.parkedFiles === 1 && totals.storedFiles === 1, 'both seen');
    const terminal = openTop(scene, new URL(agent.url).port, { columns: 120, settings: { NO_COLOR: '1' } });
    context.onTestFinished(() => terminal.kill());
    await terminal.until((screen) => screen.includes('evil\\u001b[2J\\u001b]0;owned\\u0007.png'), 'the name in words');
    expect(terminal.output()).not.toMatch(/\u001b\[2J|\u001b\]|\u0007|\u202e|\u001b\[\d*m/);
    terminal.press('q');
    expect((await terminal.ended).sane).toBe(true);
  });

  test.for(['SIGTERM', 'SIGINT', 'SIGHUP'] as const)('%s gives the terminal back', async (signal, context) => {
    const scene = await makeScene(context);
    const terminal = openTop(scene, '1');
    context.onTestFinished(() => terminal.kill());
    await terminal.until((screen) => screen.includes('No agent answers'), 'the picture');
    terminal.signal(constants.signals[signal]);
    expect(await terminal.ended).toEqual({ code: 0, sane: true });
    expect(terminal.output().endsWith(LEFT)).toBe(true);
  });
});

test('without a terminal it says what to do instead: 2', async (context) => {
  const scene = await makeScene(context);
  for (const args of [['top'], ['status', '--watch']]) {
    const { code, stdout, stderr } = await scene.command(args);
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toMatch(/no terminal[\s\S]*ssh -t[\s\S]*status --json/);
  }
  expect((await scene.command(['status', '--watch', '--json'])).code).toBe(2);
});
