import ipaddr from 'ipaddr.js';

/** Is it written as address/prefix? Only dotted quads count as IPv4. */
export function isNetwork(text: string): boolean {
  const [address = ''] = text.split('/');
  return ipaddr.isValidCIDR(text) && (address.includes(':') || ipaddr.IPv4.isValidFourPartDecimal(address));
}

/** Is a peer's address in one of the networks? An IPv4 one that came over IPv6 counts as what it is. */
export function isWithin(address: string, networks: readonly string[]): boolean {
  if (!ipaddr.isValid(address)) return false;
  const own = ipaddr.process(address);
  return networks.some((network) => {
    const [base, prefix] = ipaddr.parseCIDR(network);
    return base.kind() === own.kind() && own.match(base, prefix);
  });
}
