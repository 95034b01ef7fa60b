import type { Facts } from '../../shared/facts.ts';
import type { Host } from '../host/host.ts';
import { trySysfs } from './text.ts';

/** selinux(8): the kernel shows its switch only where it is on. */
export async function gatherSelinux(host: Host): Promise<NonNullable<Facts['selinux']>> {
  const enforce = await trySysfs(host, '/sys/fs/selinux/enforce');
  if (enforce === undefined) return 'disabled';
  return enforce === '1' ? 'enforcing' : 'permissive';
}
