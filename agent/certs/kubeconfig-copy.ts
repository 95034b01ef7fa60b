import type { HostFiles } from '../host/host.ts';

/**
 * Brings copies of admin.conf up to date. A copy is what differs from it in nothing but certificate and key of the client:
 * kubeconfigs of people's own making stay as they are. Resolves with the paths that were written.
 */
export async function refreshCopies(files: HostFiles, admin: string, copies: readonly string[]): Promise<string[]> {
  const source = await files.read(admin);
  if (source === undefined) return [];
  const written: string[] = [];
  for (const path of copies) {
    const found = await files.whole(path).catch(() => undefined);
    if (found === undefined || found.content.equals(source)) continue;
    if (withoutClient(found.content) !== withoutClient(source)) continue;
    const { mode, uid, gid } = found.stat;
    await files.writeAtomic(path, source, { mode: mode & 0o7777, uid, gid });
    written.push(path);
  }
  return written;
}

function withoutClient(kubeconfig: Buffer): string {
  return kubeconfig.toString('utf8').replace(/^(\s*client-(?:certificate|key)-data:).*$/gm, '$1');
}
