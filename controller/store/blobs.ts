import { createHash } from 'node:crypto';
import { type FileHandle, mkdir, open, readdir, rm, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { isSystemError, KkError } from '../../shared/errors.ts';
import { moveIn, place } from '../durable/files.ts';

const NAME = /^[0-9a-f]{64}$/;

/** What nobody names any more is kept this long: the same plan may be applied again, or its run resumed. */
export const KEPT_MS = 7 * 24 * 3_600_000;

/** A blob that stays readable until it is closed, whatever is swept meanwhile; what a node is answered from. */
export interface OpenBlob {
  /** Bytes in all. */
  readonly size: number;
  /** Reads into the buffer what is there from a byte on, and gives how much came: 0 at its end. */
  read(into: Buffer, from: number): Promise<number>;
  close(): Promise<void>;
}

/** Files of plans by their sha256, in the state folder: `blobs/<sha256>`, whole or not at all. */
export interface BlobStore {
  /** Those of the digests that are not there; the others count as wanted now. */
  missing(digests: readonly string[]): Promise<string[]>;
  /**
   * Takes a file in, hashed while it is written; on disk once this resolves. Throws KkError BLOB_CHANGED when it is not what
   * its name says, DISK_FULL.
   */
  add(sha256: string, bytes: AsyncIterable<Uint8Array>): Promise<void>;
  /** Takes in a file of the same file system by moving it here; the caller has compared its digest. */
  take(sha256: string, path: string): Promise<void>;
  /** Bytes; undefined: it is not there. */
  size(sha256: string): Promise<number | undefined>;
  /** To be closed by whoever has it; undefined: it is not there. */
  open(sha256: string): Promise<OpenBlob | undefined>;
  /** Removes what is neither named nor was wanted in the last {@link KEPT_MS}. */
  sweep(named: ReadonlySet<string>): Promise<void>;
}

export async function openBlobs(folder: string, nowMs: () => number): Promise<BlobStore> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  // What a controller that was killed had not taken in whole.
  for (const name of await readdir(folder)) if (!NAME.test(name)) await rm(join(folder, name), { force: true });
  const sizeOf = (sha256: string): Promise<number | undefined> =>
    stat(join(folder, sha256)).then(
      ({ size }) => size,
      (thrown: unknown) => {
        if (isSystemError(thrown, 'ENOENT')) return undefined;
        throw thrown;
      },
    );
  return {
    async missing(digests) {
      const missing: string[] = [];
      const now = nowMs() / 1000;
      for (const sha256 of new Set(digests)) {
        if ((await sizeOf(sha256)) === undefined) missing.push(sha256);
        else await utimes(join(folder, sha256), now, now);
      }
      return missing;
    },
    async add(sha256, bytes) {
      if ((await sizeOf(sha256)) !== undefined) return;
      try {
        await place(join(folder, sha256), (draft) => write(draft, sha256, bytes), 'controller.blob');
      } catch (thrown) {
        if (isSystemError(thrown, 'ENOSPC') || isSystemError(thrown, 'EDQUOT')) throw full(folder, thrown);
        throw thrown;
      }
    },
    take: (sha256, path) => moveIn(join(folder, sha256), path, 'controller.blob'),
    size: sizeOf,
    async open(sha256) {
      let handle: FileHandle;
      try {
        handle = await open(join(folder, sha256), 'r');
      } catch (thrown) {
        if (isSystemError(thrown, 'ENOENT')) return undefined;
        throw thrown;
      }
      const { size } = await handle.stat().catch(async (thrown: unknown) => {
        await handle.close();
        throw thrown;
      });
      return {
        size,
        read: async (into, from) => (await handle.read(into, 0, into.length, from)).bytesRead,
        close: () => handle.close(),
      };
    },
    async sweep(named) {
      for (const name of await readdir(folder)) {
        if (!NAME.test(name) || named.has(name)) continue;
        const { mtimeMs } = await stat(join(folder, name));
        if (nowMs() - mtimeMs > KEPT_MS) await rm(join(folder, name), { force: true });
      }
    },
  };
}

async function write(draft: string, sha256: string, bytes: AsyncIterable<Uint8Array>): Promise<void> {
  const handle = await open(draft, 'wx', 0o600);
  try {
    const hash = createHash('sha256');
    for await (const chunk of bytes) {
      hash.update(chunk);
      await handle.writeFile(chunk);
    }
    if (hash.digest('hex') === sha256) return;
  } finally {
    await handle.close();
  }
  throw new KkError({
    code: 'BLOB_CHANGED',
    message: `What came as the file with sha256 ${sha256.slice(0, 12)}… is not that file: it was changed while it was sent, or did not come whole.`,
    remedy: 'Apply again once nobody writes to the files of the plan.',
  });
}

function full(folder: string, cause: unknown): KkError {
  return new KkError({
    code: 'DISK_FULL',
    message: `The file system of ${folder} is full: the files of the plan do not fit.`,
    remedy: `Free some space on it (df -h ${folder}), then apply again.`,
    cause,
  });
}
