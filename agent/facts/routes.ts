import ipaddr from 'ipaddr.js';
import type { Facts } from '../../shared/facts.ts';
import type { Host } from '../host/host.ts';
import { readText } from './text.ts';

type Route = NonNullable<Facts['routes']>[number];

const LIMIT = 1000;
/** RTF_UP, RTF_GATEWAY, RTF_REJECT, and of IPv6 RTF_CACHE, RTF_LOCAL (linux/route.h, linux/ipv6_route.h). */
const UP = 0x1;
const GATEWAY = 0x2;
const REJECT = 0x200;
const OTHER_V6 = 0x0100_0000 | 0x8000_0000;

/** Of the main table; a kernel without one of the families has no file for it. */
export async function gatherRoutes(host: Host): Promise<Route[]> {
  const [v4, v6] = await Promise.all(['/proc/net/route', '/proc/net/ipv6_route'].map((path) => readText(host, path)));
  if (v4 === undefined && v6 === undefined) throw new Error('there is no /proc/net/route');
  return [...parseRoutes(v4 ?? '').slice(0, LIMIT), ...parseRoutesV6(v6 ?? '').slice(0, LIMIT)];
}

/** /proc/net/route: addresses are hexadecimal, the lowest byte first (proc_net(5)). */
export function parseRoutes(text: string): Route[] {
  return text.split('\n').flatMap((line) => {
    const [name = '', destination = '', gateway = '', flags = '', , , metric = '', mask = ''] = line.split('\t');
    const bits = Number.parseInt(flags, 16);
    if (!/^[0-9A-F]{8}$/.test(destination) || (bits & UP) === 0 || (bits & REJECT) !== 0) return [];
    const prefix = ipaddr.IPv4.parse(dotted(mask.trim())).prefixLengthFromSubnetMask() ?? 32;
    return [
      {
        destination: `${dotted(destination)}/${prefix}`,
        ...((bits & GATEWAY) === 0 ? {} : { gateway: dotted(gateway) }),
        interface: name,
        metric: Number(metric),
      },
    ];
  });
}

/** /proc/net/ipv6_route: destination, prefix, source, prefix, next hop, metric, references, use, flags, interface. */
export function parseRoutesV6(text: string): Route[] {
  return text.split('\n').flatMap((line) => {
    const [destination = '', prefix = '', , , hop = '', metric = '', , , flags = '', name = ''] = line
      .trim()
      .split(/\s+/);
    const bits = Number.parseInt(flags, 16);
    const isOther = destination.startsWith('ff') || name === 'lo' || (bits & (REJECT | OTHER_V6)) !== 0;
    if (destination.length !== 32 || (bits & UP) === 0 || isOther) return [];
    return [
      {
        destination: `${colons(destination)}/${Number.parseInt(prefix, 16)}`,
        ...((bits & GATEWAY) === 0 ? {} : { gateway: colons(hop) }),
        interface: name,
        metric: Number.parseInt(metric, 16),
      },
    ];
  });
}

function dotted(hex: string): string {
  return (hex.match(/../g) ?? [])
    .reverse()
    .map((byte) => Number.parseInt(byte, 16))
    .join('.');
}

function colons(hex: string): string {
  return ipaddr.IPv6.parse((hex.match(/.{4}/g) ?? []).join(':')).toString();
}
