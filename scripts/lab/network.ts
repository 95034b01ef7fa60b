import { existsSync, readdirSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { must, run } from './commands.ts';
import { addressOf, BRIDGE_PREFIX, gatewayOf, isLabName, type Lab, type NodeNames } from './names.ts';

/** Whether this host already has an address in the /24 `net`. */
export function netInUse(net: string): boolean {
  return Object.values(networkInterfaces()).some((list) => list?.some(({ address }) => address.startsWith(`${net}.`)));
}

/** Names of the labs that have a bridge on this host, wherever they are kept. */
export function bridges(): string[] {
  const links = readdirSync('/sys/class/net').filter((name) => name.startsWith(BRIDGE_PREFIX));
  return links.map((name) => name.slice(BRIDGE_PREFIX.length)).filter(isLabName);
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
  // Clouds tell their machines about themselves here. Nobody does in the lab, and who asks is told so at once, as by a router:
  // the host would drop it without a word, and each start of a kubelet 1.20 would wait 11 s for an answer.
  await must([...inside, 'route', 'add', 'unreachable', '169.254.169.254']);
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

/** Every interface and network namespace that bears the lab's name, whether a node is known for it or not. */
export async function removeNetwork(lab: Lab): Promise<void> {
  for (const name of await namespacesOf(lab)) await must(['ip', 'netns', 'delete', name]);
  for (const name of await linksOf(lab)) await run(['ip', 'link', 'delete', name]);
}

/** Interfaces and network namespaces of the lab that still exist. */
export async function networkLeftovers(lab: Lab): Promise<string[]> {
  return [...(await linksOf(lab)), ...(await namespacesOf(lab))];
}

async function linksOf(lab: Lab): Promise<string[]> {
  const { stdout } = await run(['ip', '-json', 'link', 'show']);
  const names = (JSON.parse(stdout || '[]') as { ifname: string }[]).map(({ ifname }) => ifname);
  return names.filter((name) => name === lab.bridge || name.startsWith(lab.cablePrefix));
}

async function namespacesOf(lab: Lab): Promise<string[]> {
  const { stdout } = await run(['ip', 'netns', 'list']);
  return stdout.split('\n').flatMap((line) => line.split(' ')[0]?.match(`^${lab.netnsPrefix}\\d+$`)?.[0] ?? []);
}

function linkExists(name: string): boolean {
  return existsSync(`/sys/class/net/${name}`);
}

function netnsExists(node: NodeNames): boolean {
  return existsSync(`/run/netns/${node.netns}`);
}
