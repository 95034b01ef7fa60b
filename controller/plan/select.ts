import type { Position } from '../../shared/errors.ts';
import { KNOWN_GROUPS } from './groups.ts';
import type { InventoryRead } from './inventory.ts';
import { type Problems, suggest } from './problems.ts';

/** Names in a selector with their places: nodes, groups, `all`, and `!x` to leave some out. */
export type Selector = readonly { name: string; at: Position }[];

/**
 * The nodes a selector names, in inventory order. Unknown names are told; so is a selector that is surely empty by
 * mistake (groups that built-in playbooks know may be empty or absent).
 */
export function selectNodes(selector: Selector, read: InventoryRead, problems: Problems): string[] {
  const { inventory, names } = read;
  const chosen = new Set<string>();
  const left = new Set<string>();
  let optional = true;
  let unknown = false;
  let positive = false;
  for (const { name, at } of selector) {
    const excluded = name.startsWith('!');
    const bare = excluded ? name.slice(1) : name;
    const group = Object.hasOwn(inventory.groups, bare) ? inventory.groups[bare] : undefined;
    const isNode = read.nodeNames.has(bare);
    if (!group && !isNode) {
      unknown = true;
      if (names.has(bare)) continue;
      const remedy = suggest(bare, [...names, 'all', ...KNOWN_GROUPS]);
      problems.add('PLAN_UNKNOWN_GROUP', at, `There is no group or host "${bare}" in the inventory.`, remedy);
      continue;
    }
    for (const node of group ? group.nodes : [bare]) (excluded ? left : chosen).add(node);
    if (!excluded) positive = true;
    if (!excluded && !(KNOWN_GROUPS as readonly string[]).includes(bare)) optional = false;
  }
  const nodes = inventory.nodes.map((node) => node.name).filter((name) => chosen.has(name) && !left.has(name));
  const at = selector[0]?.at;
  if (at && nodes.length === 0 && !unknown && read.sound && !(optional && positive)) {
    const written = selector.map(({ name }) => name).join(', ');
    const remedy = positive
      ? 'Put hosts into the group, or leave it out here.'
      : 'Name what is wanted before what is not: all, !x.';
    problems.add('PLAN_EMPTY_GROUP', at, `No host is selected by: ${written}.`, remedy);
  }
  return nodes;
}
