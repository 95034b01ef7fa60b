import { readFile } from 'node:fs/promises';
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
