// The kernel's limits on watching, told apart by what the watchers print: on a shared host they are what stops hints.

/** Phrases that name a limit, and what to tell the user. Only the host can raise them; the scan still finds every file. */
const LIMITS: readonly { phrase: RegExp; reason: string }[] = [
  {
    phrase: /upper limit on inotify watches|: No space left on device$|^ENOSPC/,
    reason: 'the limit on watched directories is reached; raise fs.inotify.max_user_watches on the host',
  },
  {
    phrase: /max_user_instances|nitialize inotify: Too many open files|^EMFILE/,
    reason: 'the limit on watching programs is reached; raise fs.inotify.max_user_instances on the host',
  },
];

/** What a watcher's message means for people if it speaks of a limit, else undefined. */
export function explainLimit(message: string): string | undefined {
  return LIMITS.find(({ phrase }) => phrase.test(message))?.reason;
}
