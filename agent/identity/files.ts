import { randomUUID } from 'node:crypto';
import { open, readFile, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { isSystemError, KkError } from '../../shared/errors.ts';

/** The file's text, or undefined when there is none. Other errors pass. */
export async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (thrown) {
    if (isSystemError(thrown, 'ENOENT')) return undefined;
    throw thrown;
  }
}

/** Makes the names in a folder (a rename, a removal) survive a power loss. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Writes a 0600 file so that after a power loss it is either the old or the new one, never half of it. */
export async function writeSecret(path: string, content: string): Promise<void> {
  const temporary = `${path}.${randomUUID()}.tmp`;
  try {
    const file = await open(temporary, 'wx', 0o600);
    try {
      await file.writeFile(content);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (thrown) {
    await rm(temporary, { force: true });
    throw thrown;
  }
  await syncFolder(dirname(path));
}

/** The error of an identity folder that cannot be written. */
export function notWritable(folder: string, cause: unknown): KkError {
  const full = isSystemError(cause, 'ENOSPC') || isSystemError(cause, 'EDQUOT');
  return new KkError({
    code: full ? 'DISK_FULL' : 'STATE_NOT_WRITABLE',
    message: `The folder ${folder} cannot be written (${cause instanceof Error ? cause.message : String(cause)}).`,
    remedy: full
      ? 'Free some space on that file system; the agent then goes on.'
      : 'Run kk-agent as root, or name another state folder.',
    cause,
  });
}
