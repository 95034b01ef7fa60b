import { readFile } from 'node:fs/promises';
import { isSystemError } from '../../shared/errors.ts';

/** The file's bytes, or undefined when there is none. Other errors pass. */
export async function readIfThere(path: string): Promise<Buffer | undefined> {
  try {
    return await readFile(path);
  } catch (thrown) {
    if (isSystemError(thrown, 'ENOENT')) return undefined;
    throw thrown;
  }
}
