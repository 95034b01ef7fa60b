import ipaddr from 'ipaddr.js';
import { MOST_SCANNED } from '../../shared/actions/scan-ports.ts';
import { KkError } from '../../shared/errors.ts';

/**
 * The addresses of a network that hosts can have, or the one that is given. Of IPv4 the first and the last are left out, as
 * they are the network's own. Throws KkError SCAN_NETWORK.
 */
export function addressesOf(cidr: string): string[] {
  const [address, prefix] = parsed(cidr);
  const bytes = address.toByteArray();
  const size = 2 ** Math.min(bytes.length * 8 - prefix, 32);
  const hasOwn = address.kind() === 'ipv4' && prefix < 31;
  const count = hasOwn ? size - 2 : size;
  if (count > MOST_SCANNED) {
    throw new KkError({
      code: 'SCAN_NETWORK',
      message: `${cidr} has ${size} addresses; ${MOST_SCANNED} can be scanned at once.`,
      remedy: 'Scan its parts, each a /20 or smaller (IPv6: /116).',
    });
  }
  const first = bytes.reduce((sum, byte) => (sum << 8n) + BigInt(byte), 0n) & ~(BigInt(size) - 1n);
  return Array.from({ length: count }, (_, i) => textOf(first + BigInt(hasOwn ? i + 1 : i), bytes.length));
}

function parsed(text: string): [ipaddr.IPv4 | ipaddr.IPv6, number] {
  try {
    // ipaddr.js also takes 10.1 for 10.0.0.1, as C does.
    const [head = ''] = text.split('/');
    if (!head.includes(':') && !ipaddr.IPv4.isValidFourPartDecimal(head)) throw new Error('not four parts');
    if (text.includes('/')) return ipaddr.parseCIDR(text);
    const address = ipaddr.parse(text);
    return [address, address.toByteArray().length * 8];
  } catch {
    throw new KkError({
      code: 'SCAN_NETWORK',
      message: `"${text}" is no network.`,
      remedy: 'Write it as 10.0.0.0/24, or one address.',
    });
  }
}

function textOf(value: bigint, bytes: number): string {
  const list = Array.from({ length: bytes }, (_, i) => Number((value >> BigInt(8 * (bytes - 1 - i))) & 255n));
  return ipaddr.fromByteArray(list).toString();
}
