// Another program that has a file open.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';

/**
 * Starts a process that has the file open as its standard output; once that is so, gives what ends it.
 * @param flags as those of `fs.open`
 */
export async function openElsewhere(path: string, flags: string): Promise<() => Promise<unknown>> {
  const descriptor = openSync(path, flags);
  const child = spawn(process.execPath, ['-e', 'process.stderr.write("up"); process.stdin.resume()'], {
    stdio: ['pipe', descriptor, 'pipe'],
  });
  closeSync(descriptor);
  await once(child.stderr!, 'data');
  return () => {
    child.stdin!.end();
    return once(child, 'exit');
  };
}
