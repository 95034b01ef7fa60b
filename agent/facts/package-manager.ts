import type { Facts } from '../../shared/facts.ts';
import type { Host } from '../host/host.ts';

/**
 * The package manager that owns the system. apt counts only where dpkg has a database, since it can be installed on
 * RPM systems too; yum comes after dnf, of which it is often a mere link.
 */
export async function gatherPackageManager(host: Host): Promise<Facts['package_manager']> {
  const present = async (path: string): Promise<boolean> => (await host.files.stat(path)) !== undefined;
  if ((await present('/usr/bin/apt-get')) && (await present('/var/lib/dpkg/status'))) return 'apt';
  for (const name of ['dnf', 'yum', 'zypper'] as const) {
    if (await present(`/usr/bin/${name}`)) return name;
  }
  return 'none';
}
