import { basename, dirname, join } from 'node:path';
import type { Host } from '../host/host.ts';
import { swapFailed, swapFileDiffers } from './swap-errors.ts';

/** Zeros are written to a disk that may be slow; the task's own timeout ends it too. */
const WRITE_MS = 6 * 3_600_000;
const MIB = 1024 ** 2;

/** Is there a file of this size? Throws SWAP_FILE_DIFFERS where something else is. */
export async function hasSwapFile(path: string, size: number, host: Host): Promise<boolean> {
  const found = await host.files.stat(path);
  if (found === undefined) return false;
  if (found.kind !== 'file') throw swapFileDiffers(path, `is a ${found.kind === 'other' ? 'device' : found.kind}`);
  if (found.size !== size) throw swapFileDiffers(path, `has ${found.size} bytes instead of ${size}`);
  return true;
}

/**
 * Written whole, for swapon takes no file with holes, under a name of its own: one that was cut short is never taken for
 * swap space. Readable by root alone from its first byte. Throws SWAP_NO_SPACE and what {@link swapFailed} knows.
 */
export async function makeSwapFile(
  path: string,
  size: number,
  { files, run }: Host,
  signal: AbortSignal,
): Promise<void> {
  const making = join(dirname(path), `.${basename(path)}.kk-swap`);
  await files.remove(making);
  const must = async (argv: readonly [string, ...string[]]): Promise<void> => {
    const { code, stderr } = await run(argv, { timeoutMs: WRITE_MS, signal });
    if (code !== 0) throw swapFailed(path, stderr);
  };
  try {
    await files.writeAtomic(making, Buffer.alloc(0), { mode: 0o600 });
    const block = size % MIB === 0 ? MIB : 4096;
    await must(['dd', 'if=/dev/zero', `of=${making}`, `bs=${block}`, `count=${size / block}`, 'conv=notrunc,fsync']);
    await must(['mkswap', '--', making]);
    await files.rename(making, path);
  } finally {
    await files.remove(making);
  }
}
