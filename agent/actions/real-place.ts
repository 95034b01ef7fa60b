import { basename, dirname, join } from 'node:path';
import type { HostFiles } from '../host/host.ts';

/**
 * Where a path is as the kernel tells it: without symlinks above it, as far as that is there. What is at the path itself is
 * not asked: the server of what is mounted there may not answer.
 */
export async function realPlace(path: string, files: Pick<HostFiles, 'real'>): Promise<string> {
  const above = dirname(path);
  if (above === path) return path;
  return join((await files.real(above)) ?? (await realPlace(above, files)), basename(path));
}
