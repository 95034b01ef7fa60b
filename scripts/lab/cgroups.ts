import { readdirSync, rmdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { isSystemError } from '../../shared/errors.ts';
import { until } from './commands.ts';

const ROOT = '/sys/fs/cgroup';
const DIE_MS = 10_000;

/** Remove the empty cgroups at `path` and below, in every hierarchy and whoever's cgroup they hang in. */
export async function clearCgroups(path: string): Promise<void> {
  await until(() => {
    const folders = cgroupFolders(path);
    for (const folder of folders) {
      removeIfEmpty(folder); // when a process is still dying in it, the next round gets it
    }
    return folders.length === 0;
  }, DIE_MS);
}

/** Folders of the cgroups at `path` and below, deepest first. */
export function cgroupFolders(path: string): string[] {
  const found: string[] = [];
  const walk = (folder: string) => {
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      if (entry.isDirectory()) walk(join(folder, entry.name));
    }
    if (`${folder}/`.includes(`/${path}/`)) found.push(folder);
  };
  walk(ROOT);
  return found;
}

/** Remove every cgroup called `name` that has nothing in it any more. */
export function removeEmptyCgroups(name: string): void {
  for (const folder of cgroupFolders(name).filter((path) => basename(path) === name)) removeIfEmpty(folder);
}

/** Remove a folder unless somebody else's things are in it; its being gone already is as good. */
export function removeIfEmpty(folder: string): void {
  try {
    rmdirSync(folder);
  } catch (error) {
    const expected = ['ENOENT', 'ENOTEMPTY', 'EEXIST', 'EBUSY'];
    if (!expected.some((code) => isSystemError(error, code))) throw error;
  }
}
