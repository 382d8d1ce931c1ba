import { describe, expect, it } from 'vitest';
import { networkFileSystem } from '../../src/settle/file-system.ts';

describe('writers on other machines: which file systems may have them', () => {
  // As linux/magic.h and the file systems' own sources write them.
  it.each([
    ['FUSE (MooseFS, virtiofs)', 0x65735546],
    ['NFS', 0x6969],
    ['SMB', 0x517b],
    ['CIFS', 0xff534d42],
    ['SMB2', 0xfe534d42],
    ['Ceph', 0x00c36400],
    ['9p', 0x01021997],
    ['Lustre', 0x0bd00bd0],
    ['BeeGFS', 0x19830326],
    ['GPFS', 0x47504653],
    ['AFS', 0x6b414653],
  ])('%s has them', (_, magic) => {
    expect(networkFileSystem(magic)).toBeDefined();
    // Where statfs gives a signed number.
    expect(networkFileSystem(magic | 0)).toBe(networkFileSystem(magic));
  });

  it.each([
    ['ext4', 0xef53],
    ['XFS', 0x58465342],
    ['Btrfs', 0x9123683e],
    ['overlayfs', 0x794c7630],
    ['tmpfs', 0x01021994],
    ['ZFS', 0x2fc12fc1],
    ['unknown', 0],
  ])('%s has none', (_, magic) => {
    expect(networkFileSystem(magic)).toBeUndefined();
  });
});
