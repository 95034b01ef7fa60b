import type { Vars } from '../../shared/share.ts';
import type { DocNode } from './document.ts';
import { type Problems, suggest } from './problems.ts';
import type { Group } from './types.ts';

/** A group as the inventory states it, before its children are looked into. */
export interface StatedGroup {
  name: string;
  hosts: { name: string; node: DocNode }[];
  children: { name: string; node: DocNode }[];
  vars: Vars;
}

/** Groups that built-in playbooks speak of: they may be absent from an inventory and are then empty. */
export const KNOWN_GROUPS = ['etcd', 'control_plane', 'worker', 'registry', 'nfs'] as const;

/**
 * Expands groups to their nodes, in inventory order; the result goes from the widest group to the narrowest (a group
 * stands behind every group it is a child of), `all` first.
 */
export function expandGroups(
  stated: ReadonlyMap<string, StatedGroup>,
  known: { hosts: ReadonlySet<string>; groups: ReadonlySet<string> },
  nodeNames: readonly string[],
  problems: Problems,
): Group[] {
  for (const group of stated.values()) {
    for (const { name, node } of group.hosts) {
      if (known.hosts.has(name)) continue;
      const remedy = known.groups.has(name)
        ? `"${name}" is a group: list it under groups.`
        : suggest(name, known.hosts);
      problems.add(
        'PLAN_UNKNOWN_GROUP',
        node.at,
        `Group ${group.name} names the host "${name}", which is not there.`,
        remedy,
      );
    }
    for (const { name, node } of group.children) {
      if (known.groups.has(name)) continue;
      const remedy = known.hosts.has(name) ? `"${name}" is a host: list it under hosts.` : suggest(name, known.groups);
      problems.add(
        'PLAN_UNKNOWN_GROUP',
        node.at,
        `Group ${group.name} names the group "${name}", which is not there.`,
        remedy,
      );
    }
  }
  const order = parentsFirst(stated, problems);
  const members = new Map<string, Set<string>>();
  for (const name of order.toReversed()) {
    const group = stated.get(name);
    const own = new Set(group?.hosts.map((host) => host.name));
    for (const child of group?.children ?? []) for (const member of members.get(child.name) ?? []) own.add(member);
    members.set(name, own);
  }
  const all: Group = { name: 'all', nodes: [...nodeNames], children: [], vars: {} };
  const groups = order.map((name): Group => {
    const group = stated.get(name);
    const own = members.get(name);
    return {
      name,
      nodes: nodeNames.filter((node) => own?.has(node)),
      children: group?.children.map((child) => child.name) ?? [],
      vars: group?.vars ?? {},
    };
  });
  const absent = KNOWN_GROUPS.filter((name) => !stated.has(name));
  return [all, ...groups, ...absent.map((name): Group => ({ name, nodes: [], children: [], vars: {} }))];
}

/** Depth first with the path in hand, so that a cycle can be told as the path it is. */
function parentsFirst(stated: ReadonlyMap<string, StatedGroup>, problems: Problems): string[] {
  const finished: string[] = [];
  const state = new Map<string, 'open' | 'done'>();
  const path: string[] = [];
  const visit = (name: string): void => {
    state.set(name, 'open');
    path.push(name);
    for (const child of stated.get(name)?.children.toReversed() ?? []) {
      if (state.get(child.name) === 'open') {
        tellCycle(path.slice(path.indexOf(child.name)), stated, problems);
      } else if (!state.has(child.name) && stated.has(child.name)) visit(child.name);
    }
    path.pop();
    state.set(name, 'done');
    finished.push(name);
  };
  for (const name of [...stated.keys()].toReversed()) if (!state.has(name)) visit(name);
  return finished.toReversed();
}

/** Told from the group that stands first in the file, at the edge that leads back to it. */
function tellCycle(found: readonly string[], stated: ReadonlyMap<string, StatedGroup>, problems: Problems): void {
  const first = [...stated.keys()].find((name) => found.includes(name)) ?? '';
  const turn = found.indexOf(first);
  const cycle = [...found.slice(turn), ...found.slice(0, turn)];
  const last = cycle.at(-1) ?? first;
  const edge = stated.get(last)?.children.find((child) => child.name === first)?.node;
  if (!edge) return;
  const message = `Groups contain each other: ${[...cycle, first].join(' > ')}.`;
  problems.add('PLAN_GROUP_CYCLE', edge.at, message, `Remove ${first} from the groups of ${last}.`);
}
