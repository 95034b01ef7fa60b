import type { Position } from '../../shared/errors.ts';
import type { Vars } from '../../shared/share.ts';
import { mergeVars } from '../../shared/vars.ts';
import { CLUSTER_DEFAULTS, CLUSTER_WIDE, ClusterConfig, judgeCluster } from '../cluster/index.ts';
import { type DocNode, keyPlace, nodeAt } from './document.ts';
import type { InventoryRead } from './inventory.ts';
import { parseYaml } from './parse.ts';
import { type Problems, slipOf } from './problems.ts';
import { read } from './read.ts';
import type { Inventory } from './types.ts';

const SHAPE: Readonly<Record<string, (typeof ClusterConfig.shape)[keyof typeof ClusterConfig.shape]>> =
  ClusterConfig.shape;

/** What the settings of a cluster can come from, with where it stands. */
export interface ClusterSources {
  /** `spec.config`. */
  config: DocNode | undefined;
  /** The same as values. */
  values: Vars;
  read: InventoryRead;
  runVars: Vars;
  /** Names that the plan's roles have defaults for: settings of their own. */
  ownNames: ReadonlySet<string>;
  /** Where to tell what stands nowhere. */
  at: Position;
}

/** An inventory in which every setting of a cluster has a value, the default where nothing else says one. */
export function withClusterDefaults(inventory: Inventory): Inventory {
  return { ...inventory, vars: mergeVars(CLUSTER_DEFAULTS, inventory.vars) };
}

/** Everything that is wrong with the settings of a cluster: unknown, of a wrong kind, in a wrong place, or contradictory. */
export function checkClusterConfig(sources: ClusterSources, problems: Problems): void {
  const { config, runVars, ownNames } = sources;
  const { document, inventory, sound } = sources.read;
  const before = problems.count;
  const given = parseYaml('--set', JSON.stringify(runVars), problems);
  for (const layer of [config, given]) {
    readSettings(layer, problems);
    refuseUnknown(layer, ownNames, problems);
  }
  readSettings(nodeAt(document, ['vars']), problems);
  for (const [kind, names] of [
    ['hosts', inventory.nodes.map(({ name }) => name)],
    ['groups', Object.keys(inventory.groups)],
  ] as const) {
    for (const name of names) {
      const vars = nodeAt(document, [kind, name, 'vars']);
      readSettings(vars, problems);
      refuseClusterWide(vars, name, problems);
    }
  }
  if (problems.count > before || !sound || problems.hasGaps) return;
  const layers = [given, config, nodeAt(document, ['vars'])];
  const values = mergeVars(CLUSTER_DEFAULTS, inventory.vars, sources.values, runVars);
  const known = Object.fromEntries(Object.entries(values).filter(([name]) => Object.hasOwn(SHAPE, name)));
  for (const { path, message, remedy } of judgeCluster(ClusterConfig.parse(known), inventory.nodes)) {
    problems.add('PLAN_CONTRADICTION', placeIn(layers, path) ?? sources.at, message, remedy);
  }
}

/** The settings in a map of variables, each as its schema says. */
function readSettings(vars: DocNode | undefined, problems: Problems): void {
  if (vars?.kind !== 'map') return;
  for (const [name, { value }] of vars.entries) {
    const schema = Object.hasOwn(SHAPE, name) ? SHAPE[name] : undefined;
    if (schema) read(schema, value, name, problems);
  }
}

function refuseUnknown(vars: DocNode | undefined, ownNames: ReadonlySet<string>, problems: Problems): void {
  if (vars?.kind !== 'map') return;
  const known = [...Object.keys(SHAPE), ...ownNames];
  for (const [name, { key }] of vars.entries) {
    if (Object.hasOwn(SHAPE, name) || ownNames.has(name)) continue;
    const remedy =
      slipOf(name, known) ??
      'Settings are told by `kk-controller config defaults`. A variable of your own is one of the inventory, or has a default in your role.';
    problems.add('PLAN_UNKNOWN_KEY', key, `A cluster has no setting "${name}".`, remedy);
  }
}

/** What the whole cluster shares cannot be otherwise on one of its nodes. */
function refuseClusterWide(vars: DocNode | undefined, owner: string, problems: Problems): void {
  for (const setting of CLUSTER_WIDE) {
    const path = setting.split('.');
    const last = path.at(-1) ?? '';
    const around = nodeAt(vars, path.slice(0, -1));
    if (around?.kind !== 'map' || !around.entries.has(last)) continue;
    const message = `${setting} is one for the whole cluster, and ${owner} has its own.`;
    problems.add(
      'PLAN_CONTRADICTION',
      keyPlace(around, last),
      message,
      'Put it under spec.config, or under vars of the inventory.',
    );
  }
}

/** Where a setting stands: the strongest layer that has it, else the one that has most of what is around it. */
function placeIn(layers: readonly (DocNode | undefined)[], path: readonly string[]): Position | undefined {
  for (let length = path.length; length > 0; length--) {
    for (const layer of layers) {
      const found = nodeAt(layer, path.slice(0, length));
      if (found) return found.at;
    }
  }
  return undefined;
}
