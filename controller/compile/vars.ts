import type { Vars } from '../../shared/share.ts';
import { mergeVars } from '../../shared/vars.ts';
import type { Plan } from '../plan/types.ts';

/** What is known of a node's variables before any fact: the same precedence as on the agent. */
export function baseVars(plan: Plan, runVars: Vars, role: string, nodeIndex: number, ...stronger: Vars[]): Vars {
  const node = plan.inventory.nodes[nodeIndex];
  const names = node?.groups ?? [];
  return mergeVars(
    plan.roles[role]?.defaults ?? {},
    plan.inventory.vars,
    ...names.map((name) => plan.inventory.groups[name]?.vars ?? {}),
    node?.vars ?? {},
    plan.config,
    runVars,
    ...stronger,
    {
      node_name: node?.name ?? '',
      node_address: node?.address ?? '',
      group_names: names,
      groups: Object.fromEntries(Object.values(plan.inventory.groups).map((g) => [g.name, g.nodes])),
      nodes: Object.fromEntries(plan.inventory.nodes.map((n) => [n.name, { address: n.address, groups: n.groups }])),
    },
  );
}
