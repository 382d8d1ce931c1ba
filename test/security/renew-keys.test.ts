// The script in docs/security.md that gives a pod new temporary credentials, run as it stands there, with stand-ins for
// Cloudflare and for ssh.
import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa, execaSync } from 'execa';
import { expect, test } from 'vitest';

const page = new URL('../../docs/security.md', import.meta.url);
const hasJq = !execaSync('jq', ['--version'], { reject: false }).failed;

test.skipIf(!hasJq)(
  'the script puts three values into files for one user alone, and no secret into an argument',
  async (context) => {
    const dir = await mkdtemp(join(tmpdir(), 'r2-sync-renew-'));
    context.onTestFinished(() => rm(dir, { recursive: true, force: true }));
    const keys = join(dir, 'r2-keys');
    const text = /```\n(#!\/bin\/sh\n# renew-keys\.sh[\s\S]*?)```/.exec(await readFile(page, 'utf8'))![1]!;
    await writeFile(join(dir, 'renew-keys.sh'), text.replaceAll('/run/r2-keys', keys));
    await writeFile(join(dir, 'parent-header'), 'Authorization: Bearer S3CR-parent\n');
    const result = { accessKeyId: 'S3CR id', secretAccessKey: 'S3CR"secret', sessionToken: 'S3CR+/token==' };
    await writeFile(join(dir, 'answer'), JSON.stringify({ success: true, result }));
    const standIn = async (name: string, line: string) => {
      await writeFile(join(dir, name), `#!/bin/sh\nprintf '%s\\n' "$@" >>'${dir}/arguments'\n${line}\n`);
      await chmod(join(dir, name), 0o755);
    };
    await standIn('curl', `cat '${dir}/answer'`);
    await standIn('ssh', 'exec sh -c "$2"');
    const run = () =>
      execa('sh', ['renew-keys.sh', 'pod'], { cwd: dir, env: { PATH: `${dir}:${process.env.PATH}` }, reject: false });
    expect(await run()).toMatchObject({ exitCode: 0 });
    const read = (name: string) => readFile(join(keys, name), 'utf8');
    expect(await Promise.all(['id', 'secret', 'token'].map(read))).toEqual(
      Object.values(result).map((value) => `${value}\n`),
    );
    for (const name of await readdir(keys)) expect((await stat(join(keys, name))).mode & 0o077).toBe(0);
    const args = await readFile(join(dir, 'arguments'), 'utf8');
    expect(args).not.toContain('S3CR');
    const sent = JSON.parse(/^\{[\s\S]*?^ *\}/m.exec(args)![0]);
    expect(Object.keys(sent).sort()).toEqual(['bucket', 'parentAccessKeyId', 'permission', 'prefixes', 'ttlSeconds']);
    expect(sent).toMatchObject({ permission: 'object-read-write', prefixes: ['outputs/alice/'] });
    // A refusal leaves the keys that are there.
    await writeFile(join(dir, 'answer'), JSON.stringify({ success: false, errors: [{ code: 10000 }], result: null }));
    await run();
    expect(await read('id')).toBe(`${result.accessKeyId}\n`);
    expect((await readdir(keys)).sort()).toEqual(['id', 'secret', 'token']);
  },
);
