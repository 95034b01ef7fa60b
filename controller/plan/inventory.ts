import ipaddr from 'ipaddr.js';
import type { z } from 'zod';
import { seconds } from '../../shared/duration.ts';
import { withCsvHosts } from './csv-hosts.ts';
import { type DocNode, keyPlace, nodeAt, placeOf } from './document.ts';
import { expandGroups, type StatedGroup } from './groups.ts';
import { writeOutRanges } from './host-ranges.ts';
import type { Library } from './library.ts';
import { beside } from './paths.ts';
import { type Problems, show } from './problems.ts';
import { hasRange } from './ranges.ts';
import { type Read, read } from './read.ts';
import type { Inventory as InventorySchema, Ssh } from './schema.ts';
import type { Inventory, InventoryNode, SshSettings } from './types.ts';
import { readVars } from './vars.ts';

type SshBlock = Read<z.output<typeof Ssh>>;

/** An inventory and what is needed to judge references to it fairly when parts of it are wrong. */
export interface InventoryRead {
  inventory: Inventory;
  /** As it is written, with every host of ranges and tables. */
  document: DocNode;
  nodeNames: ReadonlySet<string>;
  /** Every host and group that is written down, also those with mistakes. */
  names: ReadonlySet<string>;
  /** Nothing is wrong in it: a group without nodes is truly empty. */
  sound: boolean;
}

/** Reads an inventory, inline or from its own file; what is wrong in it is told and left out. */
export function readInventory(document: DocNode, schema: typeof InventorySchema, library: Library): InventoryRead {
  const { problems } = library;
  const before = problems.count;
  const root = inventoryAsWritten(document, library);
  const found = read(schema, root, 'inventory', problems) ?? {};
  // names come from the document, so that a host with a wrong address is still there for the groups
  const hostNames = namesUnder(root, 'hosts');
  const groupNames = namesUnder(root, 'groups');
  refuseNames(root, hostNames, groupNames, problems);
  const defaults = besideFile(found.ssh, root.at.file);
  const addresses = new Map<string, { name: string }>();
  const nodes: InventoryNode[] = [];
  for (const name of hostNames) {
    const host = found.hosts?.[name];
    const at = keyPlace(nodeAt(root, ['hosts']) ?? root, name);
    const addressNode = nodeAt(root, ['hosts', name, 'address']);
    // One that could not be written out was told.
    const address =
      host?.address && addressNode && !hasRange(host.address)
        ? checkAddress(name, host.address, addressNode, addresses, problems)
        : '';
    const ssh = host?.ssh === false ? undefined : sshSettings(defaults, besideFile(host?.ssh, at.file), address);
    const vars = readVars(nodeAt(root, ['hosts', name, 'vars']), 'plain', problems);
    nodes.push({ name, address, ssh, vars, groups: [], at });
  }
  if (!nodeAt(root, ['hosts'])) {
    const remedy = 'Add "hosts", or "csv" with the path of a table of them.';
    problems.add('PLAN_MISSING', root.at, 'inventory lacks "hosts".', remedy);
  } else if (hostNames.length === 0 && problems.count === before) {
    problems.add(
      'PLAN_EMPTY_GROUP',
      placeOf(root, ['hosts']),
      'The inventory has no hosts.',
      'Add at least one host with its address.',
    );
  }
  const groups = expandGroups(
    statedGroups(root, groupNames, problems),
    { hosts: new Set(hostNames), groups: new Set(groupNames) },
    nodes.map((node) => node.name),
    problems,
  );
  const groupsOf = new Map<string, string[]>(nodes.map((node) => [node.name, []]));
  for (const group of groups) for (const node of group.nodes) groupsOf.get(node)?.push(group.name);
  const inventory: Inventory = {
    nodes: nodes.map((node) => ({ ...node, groups: groupsOf.get(node.name) ?? [] })),
    groups: Object.fromEntries(groups.map((group) => [group.name, group])),
    vars: readVars(nodeAt(root, ['vars']), 'plain', problems),
  };
  return {
    inventory,
    document: root,
    nodeNames: new Set(nodes.map((node) => node.name)),
    names: new Set([...hostNames, ...groupNames]),
    sound: problems.count === before,
  };
}

/** The document with every host written out: those of a table, and of ranges. */
export function inventoryAsWritten(document: DocNode, library: Library): DocNode {
  return writeOutRanges(withTable(document, library), library.problems);
}

/** The inventory with the hosts of the table that its `csv` names. */
function withTable(root: DocNode, library: Library): DocNode {
  const path = nodeAt(root, ['csv']);
  if (root.kind !== 'map' || path?.kind !== 'scalar' || typeof path.value !== 'string' || path.value === '')
    return root;
  const file = beside(path.at.file, path.value);
  const text = library.text(file);
  if (text !== undefined) return withCsvHosts(root, file, text, library.problems);
  const remedy = 'Correct the path: it is relative to the file that names it.';
  if (!library.has(file)) library.problems.add('PLAN_MISSING', path.at, `The table ${file} is not there.`, remedy);
  // An empty table: that there are no hosts is told with the reason.
  return withCsvHosts(root, file, '', library.problems);
}

function namesUnder(root: DocNode, key: string): string[] {
  const node = nodeAt(root, [key]);
  return node?.kind === 'map' ? [...node.entries.keys()] : [];
}

/** `all` and `controller` mean something in a selector already. */
function refuseNames(root: DocNode, hosts: readonly string[], groups: readonly string[], problems: Problems): void {
  for (const [kind, names] of [
    ['hosts', hosts],
    ['groups', groups],
  ] as const) {
    for (const name of names) {
      if (name !== 'all' && name !== 'controller') continue;
      const meaning = name === 'all' ? 'always means every host' : 'always means the controller';
      const remedy =
        name === 'all' && kind === 'groups'
          ? "Put its variables under the inventory's own vars."
          : 'Choose another name.';
      problems.add(
        'PLAN_RESERVED_NAME',
        keyPlace(nodeAt(root, [kind]) ?? root, name),
        `The name "${name}" is taken: it ${meaning}.`,
        remedy,
      );
    }
  }
  const taken = new Set(hosts);
  for (const name of groups) {
    if (!taken.has(name)) continue;
    const at = keyPlace(nodeAt(root, ['groups']) ?? root, name);
    problems.add(
      'PLAN_DUPLICATE_NAME',
      at,
      `"${name}" is both a host and a group.`,
      'Rename one of them: selectors name either.',
    );
  }
}

function checkAddress(
  name: string,
  text: string,
  node: DocNode,
  addresses: Map<string, { name: string }>,
  problems: Problems,
): string {
  const address = normalAddress(text);
  if (address === undefined) {
    const remedy =
      'Write the IP address by which the other nodes reach it, such as 10.0.0.11; a name to connect to belongs in ssh.host.';
    problems.add('PLAN_TYPE', node.at, `The address of ${name} is no usable IP address: ${show(text)}.`, remedy);
    return '';
  }
  const other = addresses.get(address);
  if (other) {
    problems.add(
      'PLAN_DUPLICATE_ADDRESS',
      node.at,
      `${name} has the address ${address}, which ${other.name} has already.`,
      'Give each host its own address.',
    );
  } else addresses.set(address, { name });
  return address;
}

/** In one spelling, so that duplicates are seen. Addresses no host can have are refused. */
function normalAddress(text: string): string | undefined {
  if (ipaddr.IPv4.isValidFourPartDecimal(text)) {
    const range = ipaddr.IPv4.parse(text).range();
    return ['unspecified', 'broadcast', 'multicast'].includes(range) ? undefined : text;
  }
  if (!ipaddr.IPv6.isValid(text) || text.includes('%')) return undefined;
  const parsed = ipaddr.IPv6.parse(text);
  if (['unspecified', 'multicast'].includes(parsed.range())) return undefined;
  return parsed.isIPv4MappedAddress() ? parsed.toIPv4Address().toString() : parsed.toString();
}

/** Its paths as seen from where `file` is, which states them. */
function besideFile(block: SshBlock | undefined, file: string): SshBlock | undefined {
  if (!block) return undefined;
  const seen = SSH_PATHS.flatMap((key) => {
    const path = block[key];
    return path ? [[key, path.startsWith('~') ? path : beside(file, path)] as const] : [];
  });
  return { ...block, ...Object.fromEntries(seen) };
}

const SSH_PATHS = ['private_key_file', 'password_file', 'sudo_password_file', 'known_hosts_file'] as const;

/** No ssh block anywhere: the node joins by itself. */
function sshSettings(
  defaults: SshBlock | undefined,
  own: SshBlock | undefined,
  address: string,
): SshSettings | undefined {
  if (!defaults && !own) return undefined;
  const s = { ...defaults, ...own };
  return {
    host: s.host ?? address,
    port: s.port ?? 22,
    user: s.user ?? 'root',
    ...(s.private_key_file ? { privateKeyFile: s.private_key_file } : {}),
    ...(s.password_file ? { passwordFile: s.password_file } : {}),
    ...(s.sudo_password_file ? { sudoPasswordFile: s.sudo_password_file } : {}),
    ...(s.known_hosts_file ? { knownHostsFile: s.known_hosts_file } : {}),
    hostKeys: s.host_keys ?? 'accept-new',
    ...(s.jump ? { jump: s.jump } : {}),
    connectTimeout: seconds(s.connect_timeout ?? 10),
  };
}

/** A group is a map, or the bare list of its hosts. */
function statedGroups(root: DocNode, names: readonly string[], problems: Problems): Map<string, StatedGroup> {
  const stated = new Map<string, StatedGroup>();
  for (const name of names) {
    const node = nodeAt(root, ['groups', name]);
    if (node === undefined || name === 'all') continue;
    stated.set(name, {
      name,
      hosts: namesIn(node.kind === 'list' ? node : nodeAt(node, ['hosts'])),
      children: namesIn(nodeAt(node, ['groups'])),
      vars: readVars(nodeAt(node, ['vars']), 'plain', problems),
    });
  }
  return stated;
}

function namesIn(list: DocNode | undefined): { name: string; node: DocNode }[] {
  if (list?.kind !== 'list') return [];
  return list.items.flatMap((node) =>
    node.kind === 'scalar' && typeof node.value === 'string' ? [{ name: node.value, node }] : [],
  );
}
