// Bugs as they are really made, each a small change to the sources. A torture that doesn't find them proves nothing.
// What the agent's own tests would say is beside the point: the checker sees files, store, ledger, status and process.

/** Text of a source file that is there exactly once, and what stands there instead. */
export interface Change {
  /** Below the checkout. */
  file: string;
  replace: string;
  by: string;
}

export interface Planted {
  name: string;
  /** What is wrong, and how a checker that sees the agent from outside notices. */
  says: string;
  changes: readonly Change[];
}

/** What is acknowledged and isn't there, or isn't what its key says. */
export const ABOUT_THE_STORE: readonly Planted[] = [
  {
    name: 'ledger-first',
    says: 'The ledger line is written before the store has confirmed. After a failed upload, or a kill in the middle of one, a line names an object that is not there, and the file is never sent.',
    changes: [
      {
        file: 'src/agent/pipeline.ts',
        replace: 'const ensured = await this.#store(file, identity, content, {',
        by: `await ledger.record({
          path: file.path, size: identity.size, mtimeNs: identity.mtimeNs, sha256, storedAt: readAt, incomplete,
          key: objectKey(config.keyTemplate, config.timezone, { path: file.path, mtimeNs: identity.mtimeNs, sha256 }),
        });
        const ensured = await this.#store(file, identity, content, {`,
      },
    ],
  },
  {
    name: 'taken-key-is-success',
    says: 'A 412 counts as success without a look at what is there. Where a foreign object lies under the key, the ledger names it, and its bytes are others.',
    changes: [
      {
        file: 'src/upload/ensure.ts',
        replace: 'attempt >= VANISHING_ATTEMPTS) throw error;',
        by: 'attempt >= VANISHING_ATTEMPTS) throw error;\n return { key, already: true };',
      },
    ],
  },
  {
    name: 'lost-reply-is-success',
    says: 'A request without a reply (a reset, a timeout) counts as stored. The ledger names an object that is not there.',
    changes: [
      {
        file: 'src/upload/s3.ts',
        replace: 'throw toStoreError(error, about(request.key, request.signal));',
        by: `const failure = toStoreError(error, about(request.key, request.signal));
        if (failure.status === undefined && failure.failure === 'transient') return { etag: 'unknown' };
        throw failure;`,
      },
    ],
  },
  {
    name: 'any-200-is-success',
    says: 'A 200 counts as stored without an ETag. Where something that is no store answers for a while, the ledger names objects that are not there.',
    changes: [
      { file: 'src/upload/s3.ts', replace: 'if (!etag) throw notS3(about(request.key), 200);', by: '' },
      { file: 'src/upload/s3.ts', replace: 'return { etag };', by: "return { etag: etag ?? 'none' };" },
    ],
  },
  {
    name: 'overwrites',
    says: 'Small files are put without If-None-Match. A foreign object is replaced: the store sees two contents under one key.',
    changes: [{ file: 'src/upload/put-object.ts', replace: "'if-none-match': '*',", by: '' }],
  },
  {
    name: 'parts-unchecked',
    says: 'The parts of a large file are sent as they are then, not as they were hashed. One that is written over while it is sent becomes an object whose bytes are not those of its key.',
    changes: [
      { file: 'src/upload/s3-parts.ts', replace: 'signWith(command, request.partHashes[number - 1]!);', by: '' },
      {
        file: 'src/agent/content.ts',
        replace: 'if (!(await isUnchanged())) throw new FileChangedError(`$' + '{path} changed while it was sent`);',
        by: '',
      },
    ],
  },
  {
    name: 'identity-unchecked',
    says: 'A small file may change between the look at its writers and the end of reading. Half old and half new, it becomes an object that no writer has left, without a mark.',
    changes: [
      {
        file: 'src/volume/worker.ts',
        replace:
          "if (!sameIdentity(identity, identityOf(lstatSync(fsPath(path), { bigint: true })))) return 'changed';",
        by: 'lstatSync(fsPath(path));',
      },
      {
        file: 'src/volume/worker.ts',
        replace:
          "return sameIdentity(identity, identityOf(fstatSync(descriptor, { bigint: true }))) ? 'read' : 'changed';",
        by: "return 'read';",
      },
    ],
  },
  {
    name: 'settle-blind',
    says: 'Neither writers nor formats are asked, only quiet. A film in a long pause, and what a crash has left, are objects without a mark that no writer has finished.',
    changes: [
      {
        file: 'src/settle/settle.ts',
        replace: "if (writers === 'open') {",
        by: "if (writers === 'open' && evidence.size < 0) {",
      },
      {
        file: 'src/settle/settle.ts',
        replace: "if (verdict === 'torn') {",
        by: "if (verdict === 'torn' && evidence.size < 0) {",
      },
    ],
  },
];

/** What is finished, stays, and is never sent. */
export const ABOUT_FILES: readonly Planted[] = [
  {
    name: 'hints-only',
    says: 'After the first scan there is no other. What was written while no hints arrived stays away, and the agent says ok.',
    changes: [
      {
        file: 'src/agent/scan-loop.ts',
        replace: 'await clock.sleep(Math.max(0, pause), AbortSignal.any([this.#stop.signal, this.#wake.signal]));',
        by: 'await clock.sleep(pause + 2_000_000_000, this.#stop.signal);',
      },
    ],
  },
  {
    name: 'scan-new-names-only',
    says: 'The scan looks only at names that the ledger does not know. A file that was written over while no hints arrived, or while the agent was down, stays away.',
    changes: [
      {
        file: 'src/watch/scanner.ts',
        replace: 'full || unexplained || first\n        ? files',
        by: 'false\n        ? files',
      },
      {
        file: 'src/watch/scanner.ts',
        replace: '(index.storedAtIn(dir, listing.names[at]!) ?? Number.POSITIVE_INFINITY) > recent)',
        by: 'index.storedAtIn(dir, listing.names[at]!) === undefined)',
      },
    ],
  },
  {
    name: 'mtime-alone',
    says: 'A file counts as known when its mtime is. What replaced it with its time kept and another size, while no hints arrived or the agent was down, stays away.',
    changes: [
      {
        file: 'src/ledger/index.ts',
        replace: 'this.#size[slot] === size && this.#mtimeNs[slot] ===',
        by: 'this.#mtimeNs[slot] ===',
      },
    ],
  },
  {
    name: 'scan-of-the-last-hour',
    says: 'The scan leaves out what is older than an hour by its mtime. A tree that was copied with its times stays away where hints were lost.',
    changes: [
      {
        file: 'src/watch/scanner.ts',
        replace: 'if (size < 0 || index.matchesIn(dir, name, size, mtimeNs)) continue;',
        by: 'if (size < 0 || index.matchesIn(dir, name, size, mtimeNs) || mtimeNs < BigInt(Date.now() - 3600_000) * 1_000_000n) continue;',
      },
    ],
  },
  {
    name: 'renamed-tree-unlisted',
    says: 'A directory whose inode was listed before is not listed again under its new name. What is in a renamed tree stays away under its new paths.',
    changes: [
      {
        file: 'src/watch/scanner.ts',
        replace: 'const BATCH = 128;',
        by: 'const BATCH = 128;\nconst listedInodes = new Set<string>();',
      },
      {
        file: 'src/watch/scanner.ts',
        replace: 'const now = clock.monotonic();\n    const moved = state.identity !== listing.identity;',
        by: `const now = clock.monotonic();
        if (state.identity === undefined && listedInodes.has(inodeOf(listing.identity))) {
          Object.assign(state, { identity: listing.identity, identitySince: now, listedAt: now + YOUNG_MS });
          return [];
        }
        listedInodes.add(inodeOf(listing.identity));
        const moved = state.identity !== listing.identity;`,
      },
    ],
  },
  {
    name: 'same-size-is-same',
    says: 'A file of the size that the ledger has counts as unchanged. Its new bytes stay away, and a ledger line gives the old hash for the new mtime.',
    changes: [
      {
        file: 'src/agent/pipeline.ts',
        replace: 'if (known?.sha256 === sha256 && known.incomplete === incomplete) {',
        by: 'if (known?.size === identity.size && known.incomplete === incomplete) {',
      },
    ],
  },
  {
    name: 'read-error-is-gone',
    says: 'A file that cannot be read for a moment (EIO) counts as deleted, and nobody looks whether it is. It stays away after the volume has recovered.',
    changes: [
      {
        file: 'src/volume/worker.ts',
        replace: "return isGone(error) ? { is: 'gone' } : { is: 'error',",
        by: "return error ? { is: 'gone' } : { is: 'error',",
      },
      {
        file: 'src/volume/worker.ts',
        replace: "if (isGone(error)) return 'gone';\n    throw error;",
        by: "return 'gone';",
      },
      {
        file: 'src/agent/session.ts',
        replace: 'this.#scanner.doubt(file.path);\n    this.scans.passSoon();',
        by: '',
      },
    ],
  },
  {
    name: 'gives-up',
    says: 'After its second failure a file is no longer tried. It stays pending after the store has recovered.',
    changes: [
      {
        file: 'src/agent/uploads.ts',
        replace: 'const wait = backOffMs(file.attempts);\n        file.attempts += 1;',
        by: "if (file.attempts > 0) return void Object.assign(file, { state: 'settling', why: 'given up' });\n        const wait = backOffMs(file.attempts);\n        file.attempts += 1;",
      },
    ],
  },
  {
    name: 'refusal-parks',
    says: 'A 403 parks the file for an hour instead of closing the gate. When the credentials are right again files are parked, and not in the bucket.',
    changes: [
      {
        file: 'src/upload/failures.ts',
        replace: "const refused: Row = ['refused', access];",
        by: "const refused: Row = ['park', access];",
      },
    ],
  },
];

/** What several agents, or a long life, suffer from. */
export const ABOUT_THE_REST: readonly Planted[] = [
  {
    name: 'half-line-continued',
    says: 'After a write to the ledger that failed half way the same segment is appended to. A line in the middle of a segment is no JSON, and the fact in it is lost to the next start.',
    changes: [
      {
        file: 'src/ledger/writer.ts',
        replace: 'this.#segment = undefined;\n        await segment.close();\n      }',
        by: 'return await segment.append(bytes);\n      }',
      },
    ],
  },
  {
    name: 'dead-holder-waited-for',
    says: 'A claim whose holder is dead is never taken over. Its folder stays with nobody: files stay away, pending for ever.',
    changes: [
      {
        file: 'src/lease/reducer.ts',
        replace: "if (claim.died) return take(state, mode, sight.top, 'dead', holder, now, timing);",
        by: '',
      },
      {
        file: 'src/lease/reducer.ts',
        replace: 'if (unbroken && begun.mono - since >= patience)',
        by: 'if (unbroken && begun.mono - since >= Infinity)',
      },
    ],
  },
  {
    name: 'stopped-holder-goes-on',
    says: 'A pod that was suspended goes on as the holder, whoever has claimed since. Two agents call one folder `mine`, and the lower claim is beaten for on and on.',
    changes: [
      {
        file: 'src/lease/reducer.ts',
        replace: 'return now.mono - alive.mono <= stop && now.wall - alive.wall <= stop;',
        by: 'return stop > 0 || now.mono > alive.mono;',
      },
      {
        file: 'src/lease/reducer.ts',
        replace: 'if (highest !== epoch) return lose(state, epoch, highest, now);',
        by: '',
      },
    ],
  },
  {
    name: 'handle-leak',
    says: 'The handle of a large file whose upload failed is never closed. The agent holds more and more descriptors, also of files that are deleted.',
    changes: [
      {
        file: 'src/agent/content.ts',
        replace: 'const READ_BYTES = 2 ** 20;',
        by: 'const READ_BYTES = 2 ** 20;\nconst unclosed: FileHandle[] = [];',
      },
      {
        file: 'src/agent/content.ts',
        replace: 'release: () => handle.close().catch(() => {}),',
        by: 'release: async (sent: boolean) => (sent ? handle.close().catch(() => {}) : void unclosed.push(handle)),',
      },
    ],
  },
];
