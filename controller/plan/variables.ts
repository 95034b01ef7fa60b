import type { Position } from '../../shared/errors.ts';
import type { FreeVariable } from '../../shared/expr/index.ts';
import { Facts } from '../../shared/facts.ts';
import type { Vars } from '../../shared/share.ts';
import { type Problems, slipOf, suggest } from './problems.ts';
import type { TaskRead } from './task.ts';
import type { Plan, Play, Role, RoleUse, TaskDocument } from './types.ts';
import type { Use } from './uses.ts';
import { GIVEN_VARIABLES } from './vars.ts';

/** An expression with the variables it takes from outside. */
export interface CheckedUse {
  use: Use;
  free: readonly FreeVariable[];
}

/** A name bound by a task: where, and on which nodes. */
interface Binding {
  nodes: readonly string[];
  at: Position;
}

/**
 * Says which variables can be there when a task runs, in the order of the plan: what a later task binds is not there
 * yet. A variable that only some of a task's nodes have passes, since conditions may choose them.
 */
export class VariableCheck {
  readonly #plan: Plan;
  readonly #problems: Problems;
  readonly #everywhere: ReadonlySet<string>;
  readonly #bound = new Map<string, Binding[]>();
  readonly #selected = new Map<readonly string[], readonly string[]>();
  readonly #met = new Map<readonly string[], { set: Set<string>; with: Map<readonly string[], boolean> }>();
  readonly #nodeVars = new Map<readonly string[], ReadonlySet<string>>();

  constructor(plan: Plan, runVars: Vars, problems: Problems) {
    this.#plan = plan;
    this.#problems = problems;
    const wide = [plan.inventory.vars, plan.config, runVars].flatMap((vars) => Object.keys(vars));
    this.#everywhere = new Set([...GIVEN_VARIABLES, ...wide]);
  }

  /** Checks one task of a play, then takes note of what it binds. */
  task(play: Play, roleUse: RoleUse, role: Role, task: TaskRead, uses: readonly CheckedUse[]): void {
    const { document } = task;
    const on = placeOf(document);
    const nodes = on ? this.#nodesOf(on) : play.nodes;
    const around = [play.vars, roleUse.vars, role.defaults, document.vars].flatMap((vars) => Object.keys(vars));
    const known = new Set([...this.#everywhere, ...this.#varsOf(nodes), ...around]);
    for (const [name, bindings] of this.#bound)
      if (bindings.some((binding) => this.#meet(binding.nodes, nodes))) known.add(name);
    for (const { use, free } of uses) {
      const more = [
        ...(use.item ? ['item', 'loop_index'] : []),
        ...(use.after && document.register ? [document.register.name] : []),
        ...(use.more ?? []),
      ];
      this.#judge(free, more.length === 0 ? known : new Set([...known, ...more]), nodes);
    }
    const names = document.register ? [document.register.name] : [];
    if (document.action === 'set_fact' && isVars(document.inputs)) names.push(...Object.keys(document.inputs));
    for (const name of names) this.#bound.set(name, [...(this.#bound.get(name) ?? []), { nodes, at: document.at }]);
  }

  /** Checks the variables and conditions of a play itself: they are evaluated with its tasks, so they may read what these bind. */
  aside(play: Play, roles: readonly ({ role: Role } | undefined)[], uses: readonly CheckedUse[]): void {
    const defaults = roles.flatMap((found) => Object.keys(found?.role.defaults ?? {}));
    const own = [play.vars, ...play.roles.map((use) => use.vars)].flatMap((vars) => Object.keys(vars));
    const known = new Set([
      ...this.#everywhere,
      ...this.#varsOf(play.nodes),
      ...own,
      ...defaults,
      ...this.#bound.keys(),
    ]);
    for (const { free } of uses) this.#judge(free, known, play.nodes);
  }

  #judge(free: readonly FreeVariable[], known: ReadonlySet<string>, nodes: readonly string[]): void {
    for (const variable of free) {
      if (variable.defaulted) continue;
      if (variable.name === 'facts') this.#judgeFact(variable);
      else if (variable.name === 'groups') this.#judgeGroup(variable);
      if (known.has(variable.name) || (this.#problems.hasGaps && !slipOf(variable.name, known))) continue;
      this.#problems.add(
        'PLAN_UNDEFINED_VARIABLE',
        variable.origin,
        `The variable "${variable.name}" is not defined.`,
        this.#remedy(variable.name, known, nodes),
      );
    }
  }

  #remedy(name: string, known: ReadonlySet<string>, nodes: readonly string[]): string {
    if (name === 'item' || name === 'loop_index') return 'It is there only in a task with loop.';
    const elsewhere = this.#bound.get(name)?.find((binding) => !this.#meet(binding.nodes, nodes));
    const [owner] = elsewhere?.nodes ?? [];
    if (owner) return `It is bound on other nodes only; read it with node('${owner}').${name}.`;
    return slipOf(name, known) ?? 'Define it under vars, or give it a default: {{ x | default(…) }}.';
  }

  /** Facts have a fixed shape; two levels of it are checked. */
  #judgeFact({ path, origin }: FreeVariable): void {
    const [first, second] = path;
    if (first === undefined) return;
    const field = Object.hasOwn(Facts.shape, first) ? Facts.shape[first as keyof typeof Facts.shape] : undefined;
    if (!field) {
      this.#unknown(`facts.${first}`, origin, suggest(first, Object.keys(Facts.shape)));
      return;
    }
    const inner = field.def.type === 'optional' ? field.def.innerType : field;
    if (second === undefined || inner.def.type !== 'object' || Object.hasOwn(inner.def.shape, second)) return;
    this.#unknown(`facts.${first}.${second}`, origin, suggest(second, Object.keys(inner.def.shape)));
  }

  #judgeGroup({ path, origin }: FreeVariable): void {
    const [group] = path;
    if (group === undefined || Object.hasOwn(this.#plan.inventory.groups, group)) return;
    if (this.#problems.hasGaps && !slipOf(group, Object.keys(this.#plan.inventory.groups))) return;
    this.#unknown(`groups.${group}`, origin, suggest(group, Object.keys(this.#plan.inventory.groups)));
  }

  #unknown(what: string, at: Position, remedy: string): void {
    this.#problems.add('PLAN_UNDEFINED_VARIABLE', at, `There is no ${what}.`, remedy);
  }

  /** Equal selectors come as one list, and so do their nodes: that keeps the comparisons of {@link #meet} few. */
  #nodesOf(selector: readonly string[]): readonly string[] {
    const cached = this.#selected.get(selector);
    if (cached) return cached;
    const nodes = selector.flatMap((name) => this.#plan.inventory.groups[name]?.nodes ?? [name]);
    this.#selected.set(selector, nodes);
    return nodes;
  }

  /** Is there a node in both? An empty list is no ground for calling anything undefined. */
  #meet(a: readonly string[], b: readonly string[]): boolean {
    if (a === b || a.length === 0 || b.length === 0) return true;
    const known = this.#met.get(a) ?? { set: new Set(a), with: new Map<readonly string[], boolean>() };
    this.#met.set(a, known);
    let met = known.with.get(b);
    if (met === undefined) {
      met = b.some((name) => known.set.has(name));
      known.with.set(b, met);
    }
    return met;
  }

  /** Names of host and group variables that any of the nodes has. */
  #varsOf(nodes: readonly string[]): ReadonlySet<string> {
    const cached = this.#nodeVars.get(nodes);
    if (cached) return cached;
    const names = new Set<string>();
    const groups = new Set<string>();
    const wanted = new Set(nodes);
    for (const node of this.#plan.inventory.nodes) {
      if (!wanted.has(node.name)) continue;
      for (const name of Object.keys(node.vars)) names.add(name);
      for (const group of node.groups) groups.add(group);
    }
    for (const group of groups)
      for (const name of Object.keys(this.#plan.inventory.groups[group]?.vars ?? {})) names.add(name);
    this.#nodeVars.set(nodes, names);
    return names;
  }
}

/** Its own `on`, else that of the nearest block around it that has one. */
function placeOf(document: TaskDocument): string[] | undefined {
  return document.on ?? document.per ?? (document.within && placeOf(document.within.block));
}

function isVars(value: unknown): value is Vars {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
