import type { Facts } from '../../shared/facts.ts';
import type { Host } from '../host/host.ts';

export type Filesystem = Facts['filesystems'][number];

/** Mounted by the hundred for pods and containers, and of no use for keeping anything. */
const PASSING = ['tmpfs', 'devtmpfs', 'squashfs', 'overlay'];

/**
 * Local file systems that keep data, and the root whatever it is. Network ones are left out: a server that does not
 * answer would hold up everything.
 */
export async function gatherFilesystems(host: Host): Promise<Filesystem[]> {
  const { stdout, stderr } = await df(host, ['-l']);
  const found = parseDf(stdout).filter(({ mount, type }) => mount === '/' || !PASSING.includes(type));
  // df ends with 1 when it could not ask one of many: the others count.
  if (found.length === 0) throw new Error(`df found no file system: ${stderr.trim()}`);
  return found;
}

/** The file system that an existing path is on, whatever links and bind mounts lead there. */
export async function filesystemOf(host: Host, path: string): Promise<Filesystem | undefined> {
  return parseDf((await df(host, ['--', path])).stdout)[0];
}

async function df(host: Host, args: string[]): Promise<{ stdout: string; stderr: string }> {
  return await host.run(['df', '-P', '-k', '-T', ...args], { timeoutMs: 5_000, env: { LC_ALL: 'C' } });
}

/** Lines of `df -PkT`: device, type, 1024-blocks, used, available, capacity, mount point (which may hold blanks). */
export function parseDf(text: string): Filesystem[] {
  return text.split('\n').flatMap((line) => {
    const found = /^(\S.*?)\s+(\S+)\s+(\d+)\s+-?\d+\s+(-?\d+)\s+(?:\d+%|-)\s+(\/.*)$/.exec(line);
    if (found === null) return [];
    const [, device = '', type = '', total = '', available = '', mount = ''] = found;
    return [{ mount, device, type, total: Number(total) * 1024, available: Math.max(0, Number(available) * 1024) }];
  });
}
