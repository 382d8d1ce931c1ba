// SIGTERM: what is known goes out, the picture written a moment before too, and the exit code tells what is left.
import { spawn } from 'node:child_process';
import { closeSync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { startAgent, until } from '../support/agent.ts';
import { HookControl } from '../torture/hook/control.ts';
import { inotifywaitIsInstalled } from './bucket.ts';
import { bigPicture, bundleFile, crash, makeScene, messages, names, picture } from './scene.ts';

describe.concurrent('drain', () => {
  test('finishes the uploads under way and those that wait, and exits 0', async (context) => {
    const scene = await makeScene(context);
    scene.double.settings.latencyMs = 300;
    const agent = await scene.start({ R2_CONCURRENCY: '2', R2_DRAIN_SECONDS: '40' });
    await agent.until(({ safeToStop }) => safeToStop, 'ready');
    await scene.draw(...names(8));
    await agent.until(({ totals }) => totals.pendingFiles > 3, 'under way');
    expect(await agent.stop()).toBe(0);
    expect(messages(agent)).toMatch(/stopped: all 8 files are in the bucket/);
    await scene.expectStored(names(8));
  });

  test('invariant 2: a picture written right before SIGTERM arrives', async (context) => {
    const scene = await makeScene(context);
    // Hints only, and none yet for this one when the signal comes.
    const agent = await scene.start({ R2_SCAN_SECONDS: '600', R2_DRAIN_SECONDS: '40' });
    await agent.until(({ safeToStop }) => safeToStop, 'ready');
    for (const name of names(3)) writeFileSync(join(scene.place.output, name), picture(name));
    expect(await agent.stop()).toBe(0);
    await scene.expectStored(names(3));
  });

  test.runIf(inotifywaitIsInstalled)(
    'invariant 2: a picture whose writer is out of sight and still at work at SIGTERM arrives',
    async (context) => {
      const scene = await makeScene(context);
      const agent = await scene.start({
        R2_LOG_LEVEL: 'debug',
        R2_WRITERS: 'remote',
        R2_SCAN_SECONDS: '600',
        R2_DRAIN_SECONDS: '40',
      });
      await agent.until(({ safeToStop }) => safeToStop && messages(agent).includes('with inotifywait'), 'ready');
      const bytes = picture('last');
      const file = openSync(join(scene.place.output, 'last.png'), 'w');
      writeSync(file, bytes.subarray(0, 400));
      await agent.until(({ pending }) => pending[0]?.state.includes('has not closed it') === true, 'seen');
      const ended = agent.stop();
      // The last scan is over: but for the open file, so would be the drain.
      await until(() => /stopping: uploading[\s\S]*scan done/.test(messages(agent)), 'the last scan');
      writeSync(file, bytes.subarray(400));
      closeSync(file);
      expect(await ended).toBe(0);
      await scene.expectStored(['last.png']);
    },
  );

  test('a file that is deleted during the drain, after the last scan, is missed by nobody', async (context) => {
    const scene = await makeScene(context);
    const agent = await scene.start({ R2_LOG_LEVEL: 'debug', R2_SCAN_SECONDS: '600', R2_DRAIN_SECONDS: '40' });
    await agent.until(({ safeToStop }) => safeToStop, 'ready');
    scene.double.fault = () => ({ status: 500, code: 'InternalError' });
    await scene.draw('deleted.png');
    await agent.until(({ totals }) => totals.pendingFiles === 1, 'seen');
    const ended = agent.stop();
    await until(() => /stopping: uploading[\s\S]*scan done/.test(messages(agent)), 'the last scan');
    // The store goes on refusing: an attempt may have read the file before.
    rmSync(join(scene.place.output, 'deleted.png'));
    expect(await ended).toBe(0);
  });

  test('what does not make it within R2_DRAIN_SECONDS is named, exit code 3, and nothing is lost', async (context) => {
    const scene = await makeScene(context);
    const agent = await scene.start({ R2_DRAIN_SECONDS: '1' });
    await agent.until(({ safeToStop }) => safeToStop, 'ready');
    scene.double.fault = ({ key }) => (key.includes('stuck') ? 'hang' : undefined);
    await scene.draw('stuck.png', 'sub/fine.png');
    await agent.until(({ totals }) => totals.storedFiles === 1, 'the fine one');
    expect(await agent.stop()).toBe(3);
    expect(messages(agent)).toMatch(/stopped with 1 file not in the bucket: stuck\.png/);
    scene.double.fault = undefined;
    expect((await scene.command(['sync'])).code).toBe(0);
    await scene.expectStored(['stuck.png', 'sub/fine.png']);
  });

  test('what is in the bucket is not called missing because the volume is slow to say that it is still the same', async (context) => {
    const scene = await makeScene(context);
    const control = new HookControl(join(scene.place.base, 'control'), scene.place.output);
    scene.double.fault = ({ operation }) => {
      // From here on nobody gets to see the file again before the end.
      if (operation === 'PutObject')
        control.set({ disk: [{ where: 'output', calls: 'reads', share: 1, what: { delayMs: 30_000 } }] });
      return undefined;
    };
    const settings = { R2_DRAIN_SECONDS: '1', R2_SCAN_SECONDS: '600', R2_QUIET_SECONDS: '0.2' };
    const agent = await startAgent(
      scene.place,
      scene.target,
      { ...settings, ...control.env },
      { nodeArgs: control.nodeArgs },
    );
    context.onTestFinished(() => crash(agent));
    await agent.until(({ safeToStop }) => safeToStop, 'ready');
    await scene.draw('a.png');
    await agent.until(({ totals }) => totals.pendingBy.recording === 1, 'it to be in the bucket');
    await agent.stop();
    expect(messages(agent)).toMatch(/stopped: all 1 files are in the bucket/);
  });

  test('a large upload that is cut off leaves no parts behind', async (context) => {
    const scene = await makeScene(context);
    await scene.write('video.png', bigPicture(20));
    scene.double.fault = ({ operation }) => (operation === 'UploadPart' ? { bytesPerSecond: 500_000 } : undefined);
    const agent = await scene.start({ R2_DRAIN_SECONDS: '0.2' });
    await until(() => scene.double.uploads.size === 1, 'under way');
    expect(await agent.stop()).toBe(3);
    expect(messages(agent)).toMatch(/not in the bucket: video\.png/);
    await until(() => scene.double.uploads.size === 0, 'the parts are dropped');
    expect(scene.double.objects.size).toBe(0);
  });

  test('a second SIGTERM ends it at once', async (context) => {
    const scene = await makeScene(context);
    scene.double.fault = () => 'hang';
    await scene.draw('stuck.png');
    const agent = await scene.start({ R2_DRAIN_SECONDS: '3600' });
    await agent.until(({ pending }) => pending[0]?.state === 'is being uploaded', 'under way');
    const ended = agent.stop();
    await until(() => messages(agent).includes('stopping: uploading what is there'), 'draining');
    agent.process.kill('SIGTERM');
    expect(await ended).toBe(3);
  });

  test('a log that nobody reads any more does not keep it', async (context) => {
    const scene = await makeScene(context);
    // Nobody answers: every file is one more line, and soon the pipe is full.
    scene.double.fault = () => ({ status: 400, code: 'KeyTooLongError' });
    const agent = await scene.start({ R2_DRAIN_SECONDS: '1' });
    await agent.until(({ safeToStop }) => safeToStop, 'ready');
    agent.process.stdout!.pause();
    await scene.draw(...names(600));
    await agent.until(({ totals }) => totals.parkedFiles === 600, 'as many lines');
    expect(await agent.stop()).toBe(3);
  });

  test('with nothing to do it is not waited for', async (context) => {
    const scene = await makeScene(context);
    await scene.draw('a.png');
    const agent = await scene.start({ R2_DRAIN_SECONDS: '3600' });
    await agent.until(({ safeToStop }) => safeToStop, 'stored');
    expect(await agent.stop('SIGINT')).toBe(0);
  });

  test('a store that refuses us, or a file that will never be whole, is not waited for', async (context) => {
    const scene = await makeScene(context);
    scene.double.fault = () => ({ status: 403, code: 'AccessDenied' });
    await scene.draw('a.png');
    await scene.write('torn.png', picture('torn').subarray(0, 500));
    const agent = await scene.start({ R2_DRAIN_SECONDS: '3600' });
    await agent.until(({ state }) => state === 'failing', 'failing');
    expect(await agent.stop()).toBe(3);
    expect(messages(agent)).toMatch(/stopped with 2 files not in the bucket: .*torn\.png/);
  });

  test('wrong settings: it ends at once and says so', async (context) => {
    const scene = await makeScene(context);
    const agent = await scene.start({ R2_DRAIN_SECONDS: '3600' }, null);
    expect(await agent.stop()).toBe(3);
  });

  test('told to stop before it has looked at anything, it still uploads what is there', async (context) => {
    const scene = await makeScene(context);
    await scene.draw('a.png');
    const child = spawn(process.execPath, [bundleFile, 'run'], {
      env: scene.env({ R2_DRAIN_SECONDS: '40' }),
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    context.onTestFinished(() => void child.kill('SIGKILL'));
    await new Promise((resolve) => child.once('message', resolve));
    child.kill('SIGTERM');
    expect(await new Promise((resolve) => child.once('exit', resolve))).toBe(0);
    await scene.expectStored(['a.png']);
  });
});
