// Which file systems may be written by machines whose processes we can't see.

/** Magic numbers of statfs(2). FUSE counts: RunPod's network volumes are MooseFS over FUSE. */
const NETWORK: Readonly<Record<number, string>> = {
  1702057286: 'FUSE',
  26985: 'NFS',
  20859: 'SMB',
  4283649346: 'CIFS',
  4266872130: 'SMB2',
  12805120: 'Ceph',
  16914839: '9p',
  198183888: 'Lustre',
  428016422: 'BeeGFS',
  1196443219: 'GPFS',
  1799439955: 'AFS',
};

/** The name of a network file system by the magic number that statfs gives; undefined for a local one. */
export function networkFileSystem(type: number): string | undefined {
  return NETWORK[type >>> 0];
}
