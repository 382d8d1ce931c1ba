// The volume that several pods share in a test: a plain directory here, a real MooseFS in moosefs.ts.
import { mkdtemp, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** One volume that several pods mount, each at a place of its own. */
export interface SharedVolume {
  readonly kind: 'local' | 'moosefs';
  /** Absolute, real path at which pod number `pod` (from 0) sees the volume. The content is the same for all. */
  mount(pod: number): string;
  /** What can be done to the volume; undefined where it takes a mount of its own to do it. */
  readonly faults: VolumeFaults | undefined;
  /** Ends and removes everything. */
  close(): Promise<void>;
}

export interface VolumeFaults {
  /** Takes the volume away from one pod, files open or not: its path is an empty directory then, open files go on. */
  unmount(pod: number): Promise<void>;
  /** Mounts it again at the same place, if it isn't. What was written there meanwhile is hidden and goes with close(). */
  remount(pod: number): Promise<void>;
  /** The server refuses every change from this pod with EROFS, through files that are open already, too; and back. */
  setReadOnly(pod: number, readOnly: boolean): Promise<void>;
  /**
   * Nothing more can be written: EDQUOT on fsync and close, in place and appended alike. New empty files, links,
   * renames and removals still work. The function it resolves with makes room again.
   */
  fill(): Promise<() => Promise<void>>;
  /** Every call on every mount blocks, until the function it resolves with is called, which waits until one works. */
  hang(): Promise<() => Promise<void>>;
}

/** Every pod's mount is one temp directory; no root needed. */
export async function localVolume(): Promise<SharedVolume> {
  const directory = await realpath(await mkdtemp(join(tmpdir(), 'r2-sync-volume-')));
  return {
    kind: 'local',
    mount: () => directory,
    faults: undefined,
    close: () => rm(directory, { recursive: true, force: true }),
  };
}
