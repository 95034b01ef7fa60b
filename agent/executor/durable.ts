/**
 * The one place where the agent writes what must survive a power cut. Everything durable (journal, blobs, the lock of
 * the state folder) goes through here, so that a test can cut the power between any two steps.
 */
import * as fs from 'node:fs/promises';
import { dirname } from 'node:path';

/** An append-only file whose end is known; nothing else may write to it. */
export interface DurableFile {
  /** Writes at the known end; the end moves only when all bytes were taken. */
  append(bytes: Uint8Array): Promise<void>;
  /** fdatasync: what was appended survives a power cut once this resolves. */
  sync(): Promise<void>;
  /** Cuts the file to `size` bytes and syncs. */
  truncate(size: number): Promise<void>;
  close(): Promise<void>;
}

/** What the journal asks of the disk. Rejections are system errors (`ENOSPC`, `EIO`, …). */
export interface Disk {
  /** Opens for appending, made if absent (mode 0600, its folder synced); `content` is what is in it. */
  open(path: string): Promise<{ file: DurableFile; content: Buffer }>;
  /** The file's content changes from old to new at once: temp file in the same folder, fsync, rename, fsync folder. */
  replace(path: string, bytes: Uint8Array): Promise<void>;
}

/** The calls that a disk is made of; a test puts one below that forgets what was not synced. */
export type FileSystem = {
  open(path: string, flags: string, mode?: number): Promise<FileHandle>;
  rename(from: string, to: string): Promise<void>;
  rm(path: string, options: { force: true }): Promise<void>;
};

export type FileHandle = Pick<fs.FileHandle, 'readFile' | 'truncate' | 'sync' | 'datasync' | 'close'> & {
  write(bytes: Uint8Array, offset: number, length: number, position: number): Promise<{ bytesWritten: number }>;
};

/** Makes a folder and its parents, 0700. */
export async function makePrivateFolder(path: string): Promise<void> {
  await fs.mkdir(path, { recursive: true, mode: 0o700 });
}

async function syncFolder({ open }: FileSystem, path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

async function writeAll(handle: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  let done = 0;
  while (done < bytes.length) {
    const { bytesWritten } = await handle.write(bytes, done, bytes.length - done, position + done);
    done += bytesWritten;
  }
}

function durableFile(handle: FileHandle, size: number): DurableFile {
  let end = size;
  return {
    async append(bytes) {
      await writeAll(handle, bytes, end);
      end += bytes.length;
    },
    sync: () => handle.datasync(),
    async truncate(to) {
      await handle.truncate(to);
      await handle.sync();
      end = to;
    },
    close: () => handle.close(),
  };
}

export function diskOn(system: FileSystem): Disk {
  const { open, rename, rm } = system;
  return {
    async open(path) {
      // Not 'a+': on Linux a file opened for appending ignores positions, and a torn write could not be written over.
      const handle = await open(path, 'r+').catch((thrown: NodeJS.ErrnoException) => {
        if (thrown.code !== 'ENOENT') throw thrown;
        return open(path, 'wx+', 0o600);
      });
      const content = await handle.readFile();
      // What a killed agent wrote and did not sync is read here as well; nobody may rely on it before it is on disk.
      await handle.sync();
      await syncFolder(system, dirname(path));
      return { file: durableFile(handle, content.length), content };
    },
    async replace(path, bytes) {
      const temporary = `${path}.new`;
      await rm(temporary, { force: true });
      const handle = await open(temporary, 'wx', 0o600);
      try {
        await writeAll(handle, bytes, 0);
        await handle.sync();
      } finally {
        await handle.close();
      }
      await rename(temporary, path);
      await syncFolder(system, dirname(path));
    },
  };
}

/** The real disk. */
export const disk: Disk = diskOn(fs);
