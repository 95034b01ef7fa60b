/** The variables of a step: who wins over whom, and the scope that its texts are evaluated in. Agent and controller ask the same. */
import { originOf, renderDeep } from './evaluate.ts';
import { ExprError, type Scope, type Value } from './expr/index.ts';
import type { Common, Json, TaskSpec, Vars } from './share.ts';
import { mergeVars } from './vars.ts';

/** What is known of a node in a run. */
export interface KnownOfNode {
  node: string;
  hostVars: Vars;
  facts(): Value | undefined;
  /** A register or what `set_fact` bound; undefined: there is none of that name. May throw what keeps it from being known. */
  bound(name: string): Value | undefined;
  boundNames(): Iterable<string>;
  /** `node(selector).register` of a task. */
  readNode(spec: TaskSpec, selector: Value, register: string): Value | undefined;
  /** The value of a secret; undefined: it is not there. May throw as `bound` does. Absent: there are none. */
  secret?(name: string): Value | undefined;
}

/** Variables of the documents for one role on a node. Precedence, lowest first: role, inventory, groups, host, plan, run. */
function documentVars(common: Common, { node, hostVars }: KnownOfNode, role: string): Vars {
  const groups = common.nodes[node]?.groups ?? [];
  return mergeVars(
    common.roleDefaults[role] ?? {},
    common.inventoryVars,
    ...groups.map((group) => common.groups[group]?.vars ?? {}),
    hostVars,
    common.planVars,
    common.runVars,
  );
}

/** What is the same for all steps of a node in a run: made once. */
export class NodeVariables {
  readonly #common: Common;
  readonly #known: KnownOfNode;
  readonly #byRole = new Map<string, Vars>();
  readonly #own: ReadonlyMap<string, Json>;

  constructor(common: Common, known: KnownOfNode) {
    this.#common = common;
    this.#known = known;
    const { node } = known;
    const groups = Object.fromEntries(Object.entries(common.groups).map(([name, group]) => [name, group.nodes]));
    this.#own = new Map<string, Json>([
      ['node_name', node],
      ['node_address', common.nodes[node]?.address ?? ''],
      ['group_names', common.nodes[node]?.groups ?? []],
      ['groups', groups],
      ['nodes', common.nodes as unknown as Json],
    ]);
  }

  /**
   * The scope of one step. `extra` (item, loop_index, result …) wins over all; then the node's own names and facts,
   * registers and set_fact, the task's vars (templates, rendered when asked for), the documents.
   */
  scopeOf(spec: TaskSpec, extra: Readonly<Record<string, Json>> = {}): Scope {
    const known = this.#known;
    const documents = this.#documents(spec.role);
    const rendering = new Set<string>();
    const rendered = new Map<string, Value>();
    const taskVar = (name: string): Value | undefined => {
      const raw = Object.hasOwn(spec.vars, name) ? spec.vars[name] : undefined;
      if (raw === undefined) return undefined;
      const made = rendered.get(name);
      if (made !== undefined) return made;
      if (rendering.has(name)) {
        // The variable of the same name further out: `vars: {port: "{{ port | default(80) }}"}` means that one.
        if (rendering.size === 1) return own(documents, name);
        throw new ExprError(
          'EXPR_LIMIT',
          `the variable "${name}" is defined by itself`,
          originOf(spec, `/vars/${name}`),
        );
      }
      rendering.add(name);
      try {
        const value = renderDeep(raw, spec, `/vars/${name}`, scope);
        rendered.set(name, value);
        return value;
      } finally {
        rendering.delete(name);
      }
    };
    const scope: Scope = {
      lookup: (name) => {
        // Not `??`: null is a value, and hides what is below it.
        if (Object.hasOwn(extra, name)) return extra[name];
        const fixed = this.#own.get(name);
        if (fixed !== undefined) return fixed;
        if (name === 'facts') return known.facts();
        const bound = known.bound(name);
        if (bound !== undefined) return bound;
        const value = taskVar(name);
        return value === undefined ? own(documents, name) : value;
      },
      names: () => [
        ...Object.keys(extra),
        ...this.#own.keys(),
        'facts',
        ...known.boundNames(),
        ...Object.keys(spec.vars),
        ...Object.keys(documents),
      ],
      readNode: (selector, register) => known.readNode(spec, selector, register),
      secret: (name) => known.secret?.(name),
    };
    return scope;
  }

  #documents(role: string): Vars {
    const known = this.#byRole.get(role);
    if (known !== undefined) return known;
    const made = documentVars(this.#common, this.#known, role);
    this.#byRole.set(role, made);
    return made;
  }
}

function own(map: Readonly<Record<string, Json>>, name: string): Json | undefined {
  return Object.hasOwn(map, name) ? map[name] : undefined;
}
