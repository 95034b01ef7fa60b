import { createHash } from 'node:crypto';
import { open, stat } from 'node:fs/promises';
import type { BlobRef } from '../../shared/blob.ts';

/** The owner's right to run it. */
const EXECUTABLE = 0o100;

/**
 * Digest and size of a regular file, read as a stream, so of any size; a symlink is followed. Or why it cannot be taken.
 * Throws what the system throws.
 */
export async function hashFile(path: string): Promise<BlobRef | { refused: string }> {
  // asked before opening: to open a named pipe is to wait for its writer
  const found = await stat(path);
  if (!found.isFile()) return { refused: found.isDirectory() ? 'it is a folder' : 'it is no regular file' };
  const handle = await open(path, 'r');
  try {
    const hash = createHash('sha256');
    let size = 0;
    for await (const chunk of handle.createReadStream({ autoClose: false, highWaterMark: 1024 * 1024 })) {
      hash.update(chunk as Buffer);
      size += (chunk as Buffer).length;
    }
    const mode = (found.mode & EXECUTABLE) === 0 ? {} : { executable: true as const };
    return { sha256: hash.digest('hex'), size, ...mode };
  } finally {
    await handle.close();
  }
}
