import ipaddr from 'ipaddr.js';
import { z } from 'zod';
import { Facts } from '../../facts.ts';
import { Floor } from '../by-group.ts';
import { defineRule, fail, pass, unknown, warn } from '../define-rule.ts';

/** Addresses named in the message; the evidence has more. */
const SHOWN = 4;

/** The interface that carries the node's address. */
export const nic = defineRule({
  name: 'nic',
  summary: 'an interface that is up carries the node’s address, with enough MTU and speed',
  needs: 'facts',
  facts: Facts.pick({ interfaces: true }),
  params: z.strictObject({
    /** The node's address in the inventory. */
    address: z.string(),
    mtu: Floor,
    speed_mbps: Floor,
  }),
  judge({ interfaces }, params) {
    const wanted = canonical(params.address);
    if (wanted === undefined) {
      return unknown(
        `"${params.address}" is not an IP address`,
        'state an IPv4 or IPv6 address for the node in the inventory',
        { address: params.address },
      );
    }
    if (interfaces.length === 0) {
      return unknown('the network interfaces could not be read', 'check `ip addr` on the node');
    }
    const found = interfaces.find(({ addresses }) => addresses.some((cidr) => canonical(cidr) === wanted));
    if (found === undefined) {
      const all = interfaces.flatMap(({ name, addresses }) => addresses.map((cidr) => `${cidr} (${name})`));
      const more = all.length > SHOWN ? ` and ${all.length - SHOWN} more` : '';
      return fail(
        `no interface has the address ${params.address}; there are ${all.slice(0, SHOWN).join(', ') || 'no addresses'}${more}`,
        'correct the address of the node in the inventory, or configure it on an interface that is up',
        { address: params.address, addresses: all.slice(0, 20) },
      );
    }
    const evidence = {
      interface: found.name,
      address: params.address,
      mtu: found.mtu,
      up: found.up,
      speed_mbps: found.speed_mbps ?? null,
    };
    const where = `${found.name} has ${params.address}`;
    if (!found.up) {
      return fail(
        `${where}, and is down`,
        `bring it up: \`ip link set ${found.name} up\`, and check its cable`,
        evidence,
      );
    }

    const speed = found.speed_mbps === undefined ? 'speed not stated' : `${found.speed_mbps} Mb/s`;
    const described = `${where}: MTU ${found.mtu}, ${speed}`;
    const raiseMtu = `raise the MTU of ${found.name} and of the network behind it`;
    const raiseSpeed = `use a faster link; check cable, port and the negotiation on ${found.name} with ethtool`;
    // A virtual interface states no speed: that is no reason to doubt it.
    const mbps = found.speed_mbps ?? Number.POSITIVE_INFINITY;
    if (found.mtu < params.mtu.fail_below) {
      return fail(`${described}; wanted an MTU of at least ${params.mtu.fail_below}`, raiseMtu, evidence);
    }
    if (mbps < params.speed_mbps.fail_below) {
      return fail(`${described}; wanted at least ${params.speed_mbps.fail_below} Mb/s`, raiseSpeed, evidence);
    }
    if (found.mtu < params.mtu.warn_below) {
      return warn(`${described}; an MTU of at least ${params.mtu.warn_below} is advised`, raiseMtu, evidence);
    }
    if (mbps < params.speed_mbps.warn_below) {
      return warn(`${described}; at least ${params.speed_mbps.warn_below} Mb/s are advised`, raiseSpeed, evidence);
    }
    return pass(described, evidence);
  },
});

/**
 * One spelling for an address or the address of a CIDR: addresses are compared whole, so 10.0.0.1 is not found in
 * 10.0.0.11, and fd00::0011 is fd00::11. undefined: no IP address.
 */
function canonical(text: string): string | undefined {
  const address = text.split('/')[0] ?? '';
  // ipaddr.js also reads 10.1 and 0x0a000001, which a person never means.
  if (ipaddr.IPv4.isValidFourPartDecimal(address)) return ipaddr.IPv4.parse(address).toString();
  return ipaddr.IPv6.isValid(address) ? ipaddr.IPv6.parse(address).toString() : undefined;
}
