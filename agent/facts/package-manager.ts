import type { Facts } from '../../shared/facts.ts';
import type { Host } from '../host/host.ts';

/**
 * The package manager that owns the system. apt counts only where dpkg has a database, since it can be installed on
 * RPM systems too; yum comes after dnf, of which it is often a mere link. `root`: what /usr and /var are below.
 */
export async function gatherPackageManager(
  { files }: Pick<Host, 'files'>,
  root = '',
): Promise<Facts['package_manager']> {
  const present = async (path: string): Promise<boolean> => (await files.stat(root + path)) !== undefined;
  if ((await present('/usr/bin/apt-get')) && (await present('/var/lib/dpkg/status'))) return 'apt';
  for (const name of ['dnf', 'yum', 'zypper'] as const) {
    if (await present(`/usr/bin/${name}`)) return name;
  }
  return 'none';
}
