import type { Position } from '../../shared/errors.ts';
import { nearest } from '../../shared/expr/errors.ts';
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
  /** A command's playbooks stand for the plan's own, whose roles may have settings, too. */
  isBorrowed: boolean;
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
  const given = parseYaml('--set', JSON.stringify(runVars), problems);
  const slips: string[] = [];
  for (const layer of [config, given]) {
    readSettings(layer, problems);
    slips.push(...refuseUnknown(layer, ownNames, sources.isBorrowed && layer === config, problems));
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
  const layers = [given, config, nodeAt(document, ['vars'])];
  const values = mergeVars(CLUSTER_DEFAULTS, inventory.vars, sources.values, runVars);
  const known = Object.fromEntries(Object.entries(values).filter(([name]) => Object.hasOwn(SHAPE, name)));
  const { settings, unknown } = judgeable(known);
  unknown.push(...slips.map((name) => [name]));
  const nodes = sound && !problems.hasGaps ? inventory.nodes : undefined;
  for (const { path, message, remedy } of judgeCluster(settings, nodes, unknown)) {
    problems.add('PLAN_CONTRADICTION', placeIn(layers, path) ?? sources.at, message, remedy);
  }
}

/** What can be judged of settings of which some are of a wrong kind, and which these are: they were told. */
function judgeable(stated: Vars): { settings: ClusterConfig; unknown: string[][] } {
  const values = structuredClone(stated);
  const unknown: string[][] = [];
  for (;;) {
    const parsed = ClusterConfig.safeParse(values);
    if (parsed.success) return { settings: parsed.data, unknown };
    for (const issue of parsed.error.issues) {
      const steps = issue.path.map(String);
      // A list is judged whole or not at all.
      const index = issue.path.findIndex((step) => typeof step === 'number');
      const path = index < 0 ? steps : steps.slice(0, index);
      if (issue.code !== 'unrecognized_keys') unknown.push(takeOut(values, path));
      else {
        for (const key of issue.keys) {
          takeOut(values, [...path, key]);
          const meant = nearest(key, Object.keys(valueAt(CLUSTER_DEFAULTS, path) ?? {}));
          if (meant !== undefined) unknown.push([...path, meant]);
        }
      }
    }
  }
}

/** Removes the value, or where there is none what it would be in, and says at which path that was. */
function takeOut(values: Vars, path: readonly string[]): string[] {
  for (let length = path.length; length > 0; length--) {
    const around = valueAt(values, path.slice(0, length - 1));
    const key = path[length - 1] ?? '';
    if (around === undefined || !Object.hasOwn(around, key)) continue;
    delete around[key];
    return path.slice(0, length);
  }
  for (const key of Object.keys(values)) delete values[key];
  return [];
}

function valueAt(values: Readonly<Vars>, path: readonly string[]): Vars | undefined {
  return path.reduce<Vars | undefined>((at, key) => {
    const next = at && Object.hasOwn(at, key) ? at[key] : undefined;
    return typeof next === 'object' && next !== null && !Array.isArray(next) ? next : undefined;
  }, values);
}

/** The settings in a map of variables, each as its schema says. */
function readSettings(vars: DocNode | undefined, problems: Problems): void {
  if (vars?.kind !== 'map') return;
  for (const [name, { value }] of vars.entries) {
    const schema = Object.hasOwn(SHAPE, name) ? SHAPE[name] : undefined;
    if (schema) read(schema, value, name, problems);
  }
}

/** Which settings were probably meant. `leniently`: there may be names that nobody here knows, so only slips are told. */
function refuseUnknown(
  vars: DocNode | undefined,
  ownNames: ReadonlySet<string>,
  leniently: boolean,
  problems: Problems,
): string[] {
  if (vars?.kind !== 'map') return [];
  const known = [...Object.keys(SHAPE), ...ownNames];
  return [...vars.entries].flatMap(([name, { key }]) => {
    if (Object.hasOwn(SHAPE, name) || ownNames.has(name)) return [];
    const slip = slipOf(name, known);
    const remedy =
      slip ??
      'Settings are told by `kk-controller config defaults`. A variable of your own is one of the inventory, or has a default in your role.';
    if (slip !== undefined || !leniently)
      problems.add('PLAN_UNKNOWN_KEY', key, `A cluster has no setting "${name}".`, remedy);
    return nearest(name, Object.keys(SHAPE)) ?? [];
  });
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
