import type { Facts } from '../../shared/facts.ts';
import type { Host } from '../host/host.ts';
import { needText, unescapeOctal } from './text.ts';

type Mount = NonNullable<Facts['mounts']>[number];

const NETWORK = /^(?:nfs|cifs|smb3|ceph|glusterfs|fuse\.(?:glusterfs|ceph|sshfs|s3fs)|9p|virtiofs)/;
const LIMIT = 500;

/** As the agent sees them. */
export async function gatherMounts(host: Host): Promise<Mount[]> {
  return parseMounts(await needText(host, '/proc/self/mounts'));
}

/** fstab(5): device, mount point, type, options. Those without a device are the kernel's, or of containers. */
export function parseMounts(text: string): Mount[] {
  const all = text.split('\n').flatMap((line) => {
    const [device = '', mount = '', type = '', options = ''] = line.split(' ').map(unescapeOctal);
    if (mount === '' || !(device.startsWith('/') || NETWORK.test(type))) return [];
    return [{ mount, device, type, options: options.split(',') }];
  });
  return all.slice(0, LIMIT);
}
