import { stringify } from 'yaml';
import type { Sources } from '../../controller/plan/types.ts';

/** A play as a plan's YAML has it. */
export type PlayText = { name: string; hosts: string[]; tasks: object[] } & Record<string, unknown>;

/** A plan over simulated machines. `groups` besides `all`: name to members. */
export interface FleetPlan {
  name: string;
  nodes: readonly string[];
  groups?: Record<string, readonly string[]>;
  plays: PlayText[];
}

/** The plan as a person would have written it. */
export function planText({ name, nodes, groups = {}, plays }: FleetPlan): string {
  // The inventory wants an address of each its own.
  const address = (i: number): string => `10.${64 + (i >> 16)}.${(i >> 8) & 255}.${i & 255}`;
  const hosts = Object.fromEntries(nodes.map((node, i) => [node, { address: address(i + 1) }]));
  const inventory = { hosts, ...(Object.keys(groups).length === 0 ? {} : { groups }) };
  return stringify({
    apiVersion: 'kk.dev/v1',
    kind: 'Plan',
    metadata: { name },
    spec: { inventory, playbooks: [{ name, plays }] },
  });
}

/** As `apply` would send it. */
export function planSources(plan: FleetPlan): Sources {
  return { plan: 'plan.yaml', texts: { 'plan.yaml': planText(plan) } };
}

/**
 * A play of `count` tasks after each other, each a command of `words` (see behaviour.ts). Every `every`-th waits for the
 * one before it on all nodes; 0: none does.
 */
export function chain(name: string, count: number, words: string, every = 0): PlayText {
  const tasks = Array.from({ length: count }, (_, i) => ({
    id: `${name}-${i + 1}`,
    name: `Step ${i + 1} of ${name}`,
    command: ['simulate', `step=${i + 1}`, ...words.split(' ')],
    ...(every > 0 && i > 0 && i % every === 0 ? { needs: [{ task: `${name}-${i}`, of: 'all' }] } : {}),
  }));
  return { name, hosts: ['all'], tasks };
}
