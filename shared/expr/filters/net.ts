import ipaddr from 'ipaddr.js';
import { type Call, type Filter, fail, wantText } from '../callable.ts';
import type { Value } from '../value.ts';

type Address = ipaddr.IPv4 | ipaddr.IPv6;

/** Filters about addresses. */
export const netFilters: Readonly<Record<string, Filter>> = {
  ip_family: {
    about: '4 or 6 for an IPv4 or IPv6 address, or one with a prefix length; an error for anything else.',
    params: [],
    apply(input, _args, call) {
      const text = wantText(input, call);
      const address = addressOf(text.replace(/\/\d{1,3}$/, ''));
      if (address === undefined) return fail(call, 'EXPR_FILTER', 'the text is not an IP address');
      return address.kind() === 'ipv4' ? 4 : 6;
    },
  },
  in_cidr: {
    about: 'Is the address in this network, or in one of these networks?',
    params: ['cidr'],
    required: 1,
    apply: (input, args, call) => inCidr(input, args.get('cidr'), call),
  },
};

/** Is an address within a CIDR or one of a list of them? An address of the other family is not. */
export function inCidr(input: Value, cidr: Value | undefined, call: Call): boolean {
  const address = addressOf(wantText(input, call));
  if (address === undefined) return fail(call, 'EXPR_FILTER', 'the text is not an IP address');
  const networks = Array.isArray(cidr) ? cidr : [cidr];
  call.budget.spend(networks.length, call.at);
  return networks.some((network) => {
    const text = wantText(network, call);
    const valid = text.includes('/') && addressOf(text.slice(0, text.indexOf('/'))) !== undefined;
    if (!valid || !ipaddr.isValidCIDR(text)) fail(call, 'EXPR_FILTER', 'a network is not written as address/prefix');
    const [base, prefix] = ipaddr.parseCIDR(text);
    return base.kind() === address.kind() && address.match(base, prefix);
  });
}

/** Only dotted quads count as IPv4: the library would also read '1' and '0x7f.1'. */
function addressOf(text: string): Address | undefined {
  if (ipaddr.IPv4.isValidFourPartDecimal(text)) return ipaddr.IPv4.parse(text);
  return text.includes(':') && ipaddr.IPv6.isValid(text) ? ipaddr.IPv6.parse(text) : undefined;
}
