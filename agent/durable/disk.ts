/** What the journal and the blobs ask of the disk. A test hands in one whose power it can cut. */
import { type FileHandle, open, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { crash } from '../../shared/crash.ts';
import { replace, syncPath } from './files.ts';
import type { Write } from './points.ts';

/** An append-only file whose end is known; nothing else may write to it. */
export interface DurableFile {
  /** Writes at the known end; the end moves only when all bytes were taken. */
  append(bytes: Uint8Array): Promise<void>;
  /** Writes behind the known end, which stays: the next append writes over it. Not synced, so it may be lost. */
  mark(bytes: Uint8Array): Promise<void>;
  /** fdatasync: what was appended survives a power cut once this resolves. */
  sync(): Promise<void>;
  /** `size` bytes from `position`; fewer where the file ends. */
  read(position: number, size: number): Promise<Buffer>;
  /** Cuts the file to `size` bytes and syncs. */
  truncate(size: number): Promise<void>;
  close(): Promise<void>;
}

/** Rejections are system errors (`ENOSPC`, `EIO`, …). */
export interface Disk {
  /** Opens for appending, made if absent (mode 0600); `content` is what is in it, synced, and so is its name. */
  open(path: string, point: Write<'log'>): Promise<{ file: DurableFile; content: Buffer }>;
  /** The file's content changes from old to new at once. */
  replace(path: string, bytes: Uint8Array, point: Write<'replace'>): Promise<void>;
}

/** What a {@link Disk.replace} that was cut short may leave beside a file. */
export function unfinished(path: string): string {
  return `${path}.new`;
}

async function writeAll(handle: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  let done = 0;
  while (done < bytes.length) {
    const { bytesWritten } = await handle.write(bytes, done, bytes.length - done, position + done);
    done += bytesWritten;
  }
}

function durableFile(handle: FileHandle, size: number, point: Write<'log'>): DurableFile {
  let end = size;
  return {
    async append(bytes) {
      crash.at(`${point}.before`);
      await writeAll(handle, bytes, end);
      end += bytes.length;
      crash.at(`${point}.written`);
    },
    mark: (bytes) => writeAll(handle, bytes, end),
    async sync() {
      await handle.datasync();
      crash.at(`${point}.after`);
    },
    async read(position, wanted) {
      const bytes = Buffer.alloc(wanted);
      let done = 0;
      while (done < wanted) {
        const { bytesRead } = await handle.read(bytes, done, wanted - done, position + done);
        if (bytesRead === 0) break;
        done += bytesRead;
      }
      return bytes.subarray(0, done);
    },
    async truncate(to) {
      crash.at(`${point}.cutting`);
      await handle.truncate(to);
      await handle.sync();
      end = to;
      crash.at(`${point}.cut`);
    },
    close: () => handle.close(),
  };
}

/** The real disk. */
export const disk: Disk = {
  async open(path, point) {
    await rm(unfinished(path), { force: true });
    // Not 'a+': on Linux a file opened for appending ignores positions, and a torn write could not be written over.
    const handle = await open(path, 'r+').catch((thrown: NodeJS.ErrnoException) => {
      if (thrown.code !== 'ENOENT') throw thrown;
      return open(path, 'wx+', 0o600);
    });
    try {
      const content = await handle.readFile();
      // What a killed agent wrote or renamed and did not sync is read here, too: nobody may rely on it before it is on disk.
      await handle.sync();
      await syncPath(dirname(path));
      crash.at(`${point}.opened`);
      return { file: durableFile(handle, content.length, point), content };
    } catch (thrown) {
      await handle.close();
      throw thrown;
    }
  },
  async replace(path, bytes, point) {
    const temporary = unfinished(path);
    await rm(temporary, { force: true });
    await replace(path, bytes, point, { temporary });
  },
};
