// Processes, as /proc shows them.
import { readdirSync, readFileSync } from 'node:fs';

/** The ids of the processes of this name that a process has started. */
export function childrenOf(parent: number, name: string): number[] {
  return readdirSync('/proc')
    .filter((entry) => /^[1-9]/.test(entry))
    .filter((pid) => {
      try {
        const [, comm, ppid] = /^\d+ \((.*)\) \S (\d+)/s.exec(readFileSync(`/proc/${pid}/stat`, 'utf8')) ?? [];
        return comm === name && Number(ppid) === parent;
      } catch {
        return false;
      }
    })
    .map(Number);
}
