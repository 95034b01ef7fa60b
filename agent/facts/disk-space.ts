import type { DiskSpace } from '../../shared/checks/rules/free-disk.ts';
import type { Host } from '../host/host.ts';
import { nearestDirectory } from './existing.ts';
import { filesystemOf } from './filesystems.ts';

/** The file system of each path, or of where the path will be. One that df cannot ask is left out. */
export async function gatherDiskSpace(host: Host, paths: readonly string[]): Promise<DiskSpace> {
  const found = await Promise.all(
    paths.map(async (path) => {
      const filesystem = await filesystemOf(host, await nearestDirectory(host, path));
      if (filesystem === undefined) return undefined;
      const { mount, device, total, available } = filesystem;
      return { path, mount, device, total, available };
    }),
  );
  return { paths: found.filter((one) => one !== undefined) };
}
