import { networkInterfaces } from 'node:os';
import type { Facts } from '../../shared/facts.ts';
import type { Host } from '../host/host.ts';
import { trySysfs } from './text.ts';

type Interface = Facts['interfaces'][number];
type Addresses = ReturnType<typeof networkInterfaces>;

const SYSFS = '/sys/class/net';
/** IFF_UP of the flags in sysfs. */
const UP = 0x1;

/** Every interface, with the addresses of those that are up (the others cannot use theirs). */
export async function gatherInterfaces(host: Host, addresses: Addresses = networkInterfaces()): Promise<Interface[]> {
  const byName = cidrsByInterface(addresses);
  const names = await host.files.list(SYSFS);
  const found = await Promise.all(names.map((name) => gatherInterface(host, name, byName.get(name) ?? [])));
  return found.filter((one) => one !== undefined);
}

/** An address with a label is reported as `eth0:1`, and belongs to eth0. */
function cidrsByInterface(addresses: Addresses): Map<string, string[]> {
  const byName = new Map<string, string[]>();
  for (const [label, list] of Object.entries(addresses)) {
    const name = label.split(':')[0] ?? label;
    const cidrs = (list ?? []).map(({ cidr }) => cidr).filter((cidr) => cidr !== null);
    byName.set(name, [...(byName.get(name) ?? []), ...cidrs]);
  }
  return byName;
}

/** undefined: an entry that is no interface (`bonding_masters`), or one that went away meanwhile. */
async function gatherInterface(host: Host, name: string, addresses: string[]): Promise<Interface | undefined> {
  const read = (file: string) => trySysfs(host, `${SYSFS}/${name}/${file}`);
  const [mtu, mac, state, flags, speed, duplex] = await Promise.all(
    ['mtu', 'address', 'operstate', 'flags', 'speed', 'duplex'].map(read),
  );
  if (mtu === undefined) return undefined;
  const mbps = Number(speed ?? Number.NaN);
  return {
    name,
    mac: mac ?? '',
    mtu: Number(mtu),
    // Loopback and tunnels say `unknown` and work.
    up: state === 'up' || (state === 'unknown' && (Number(flags ?? 0) & UP) !== 0),
    // -1 and, in older kernels, the same as an unsigned number mean that nobody knows.
    ...(mbps > 0 && mbps < 0xffff_ffff ? { speed_mbps: mbps } : {}),
    ...(duplex === 'full' || duplex === 'half' ? { duplex } : {}),
    addresses,
  };
}
