import { existsSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { must, run } from './commands.ts';
import { addressOf, gatewayOf, type Lab, type NodeNames } from './names.ts';

/** Whether this host already has an address in the /24 `net`. */
export function netInUse(net: string): boolean {
  return Object.values(networkInterfaces()).some((list) => list?.some(({ address }) => address.startsWith(`${net}.`)));
}

/** The lab's bridge, on which the host has the first address of `net`. Harmless when it is there. */
export async function ensureBridge(lab: Lab, net: string): Promise<void> {
  if (linkExists(lab.bridge)) return;
  await must(['ip', 'link', 'add', lab.bridge, 'type', 'bridge']);
  await must(['ip', 'address', 'add', `${gatewayOf(net)}/24`, 'dev', lab.bridge]);
  await must(['ip', 'link', 'set', lab.bridge, 'up']);
}

/** The node's network namespace and its cable to the bridge. Harmless when they are there. */
export async function ensureCable(lab: Lab, node: NodeNames, net: string): Promise<void> {
  if (netnsExists(node) && linkExists(node.cable)) return;
  await removeCable(node);
  const inside = ['ip', '-n', node.netns];
  await must(['ip', 'netns', 'add', node.netns]);
  await must(['ip', 'link', 'add', node.cable, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', node.netns]);
  await must(['ip', 'link', 'set', node.cable, 'master', lab.bridge, 'up']);
  await must([...inside, 'link', 'set', 'lo', 'up']);
  await must([...inside, 'address', 'add', `${addressOf(net, node.number)}/24`, 'dev', 'eth0']);
  await must([...inside, 'link', 'set', 'eth0', 'up']);
  await must([...inside, 'route', 'add', 'default', 'via', gatewayOf(net)]);
}

/** Pull the node's cable out, or put it back. */
export async function setCable(node: NodeNames, plugged: boolean): Promise<void> {
  await must(['ip', 'link', 'set', node.cable, plugged ? 'up' : 'down']);
}

/** Whether the node's cable is plugged in. */
export async function cablePlugged(node: NodeNames): Promise<boolean> {
  const { stdout } = await run(['ip', '-json', 'link', 'show', node.cable]);
  const [link] = JSON.parse(stdout || '[]') as { flags?: string[] }[];
  return link?.flags?.includes('UP') ?? false;
}

export async function removeCable(node: NodeNames): Promise<void> {
  if (netnsExists(node)) await must(['ip', 'netns', 'delete', node.netns]);
  if (linkExists(node.cable)) await run(['ip', 'link', 'delete', node.cable]); // goes with the namespace, a moment later
}

export async function removeBridge(lab: Lab): Promise<void> {
  if (linkExists(lab.bridge)) await must(['ip', 'link', 'delete', lab.bridge]);
}

/** Let the lab's nodes reach what the host reaches, from the host's address. */
export async function addNat(lab: Lab, net: string): Promise<void> {
  await removeNat(lab);
  await must(['nft', '-f', '-'], {
    input: `table ip ${lab.natTable} {
      chain way_out {
        type nat hook postrouting priority 100;
        ip saddr ${net}.0/24 oifname != "${lab.bridge}" masquerade
      }
    }`,
  });
}

export async function removeNat(lab: Lab): Promise<void> {
  if (await hasNat(lab)) await must(['nft', 'delete', 'table', 'ip', lab.natTable]);
}

export async function hasNat(lab: Lab): Promise<boolean> {
  return (await run(['nft', 'list', 'table', 'ip', lab.natTable])).code === 0;
}

/** Interfaces and network namespaces of the lab that still exist. */
export async function networkLeftovers(lab: Lab): Promise<string[]> {
  const { stdout } = await run(['ip', '-json', 'link', 'show']);
  const links = (JSON.parse(stdout || '[]') as { ifname: string }[]).map(({ ifname }) => ifname);
  const netns = (await run(['ip', 'netns', 'list'])).stdout.split('\n').map((line) => line.split(' ')[0] ?? '');
  return [
    ...links.filter((name) => name === lab.bridge || name.startsWith(`kv-${lab.name}-`)),
    ...netns.filter((name) => name.startsWith(`kk-lab-${lab.name}-`)),
  ];
}

function linkExists(name: string): boolean {
  return existsSync(`/sys/class/net/${name}`);
}

function netnsExists(node: NodeNames): boolean {
  return existsSync(`/run/netns/${node.netns}`);
}
