/** The variables of a step: who wins over whom, and the scope that its texts are evaluated in. */

import { KkError } from '../../shared/errors.ts';
import { ExprError, type Scope, type Value } from '../../shared/expr/index.ts';
import type { Common, Json, TaskSpec, Vars } from '../../shared/share.ts';
import { Unknown } from '../actions/unknown.ts';
import { originOf, renderDeep } from './evaluate.ts';
import type { RunRecord } from './state.ts';

const UNSAFE_KEYS: ReadonlySet<string> = new Set(['__proto__', 'constructor', 'prototype']);

/** `over` on top of `under`: maps merge deeply, everything else is replaced. Neither is changed. */
export function merged(under: Vars, over: Vars): Vars {
  const result: Vars = { ...under };
  for (const [key, value] of Object.entries(over)) {
    if (UNSAFE_KEYS.has(key)) continue;
    const below = Object.hasOwn(result, key) ? result[key] : undefined;
    result[key] = isMap(below) && isMap(value) ? merged(below, value) : value;
  }
  return result;
}

function isMap(value: Json | undefined): value is Vars {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Variables of the documents for one role on this node. Precedence, lowest first: role, inventory, groups, host, plan, run. */
function documentVars(run: RunRecord, common: Common, role: string): Vars {
  const groups = common.nodes[run.share.node]?.groups ?? [];
  const layers = [
    common.roleDefaults[role] ?? {},
    common.inventoryVars,
    ...groups.map((group) => common.groups[group]?.vars ?? {}),
    run.share.hostVars,
    common.planVars,
    common.runVars,
  ];
  return layers.reduce(merged, {});
}

/** What is the same for all steps of a share: made once. */
export class ShareVariables {
  readonly #run: RunRecord;
  readonly #common: Common;
  readonly #byRole = new Map<string, Vars>();
  readonly #own: ReadonlyMap<string, Json>;
  readonly #secret: (name: string) => string | undefined;

  /** `secret`: the value of one of the run's secrets, when it is there. */
  constructor(run: RunRecord, common: Common, secret: (name: string) => string | undefined) {
    this.#secret = secret;
    this.#run = run;
    this.#common = common;
    const { node } = run.share;
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
    const run = this.#run;
    const documents = this.#documents(spec.role);
    const rendering = new Set<string>();
    const rendered = new Map<string, Value>();
    const taskVar = (name: string): Value | undefined => {
      const raw = Object.hasOwn(spec.vars, name) ? spec.vars[name] : undefined;
      if (raw === undefined) return undefined;
      const known = rendered.get(name);
      if (known !== undefined) return known;
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
        if (name === 'facts') return run.facts?.facts as unknown as Value | undefined;
        const bound = run.bindings.get(name);
        if (bound !== undefined) return bound;
        const binder = run.unbound.get(name);
        if (binder !== undefined) throw new Unknown(needsOutputOf(`"${this.#common.tasks[binder]?.name ?? name}"`));
        const value = taskVar(name);
        return value === undefined ? own(documents, name) : value;
      },
      names: () => [
        ...Object.keys(extra),
        ...this.#own.keys(),
        'facts',
        ...run.bindings.keys(),
        ...Object.keys(spec.vars),
        ...Object.keys(documents),
      ],
      secret: (name) => {
        if (run.share.check === true)
          throw new Unknown(`it needs the secret "${name}", which a dry run does not fetch`);
        return this.#secret(name);
      },
      readNode: (selector, register) => this.#read(spec, selector, register),
    };
    return scope;
  }

  #documents(role: string): Vars {
    const known = this.#byRole.get(role);
    if (known !== undefined) return known;
    const made = documentVars(this.#run, this.#common, role);
    this.#byRole.set(role, made);
    return made;
  }

  #read(spec: TaskSpec, selector: Value, register: string): Value | undefined {
    const node = Array.isArray(selector) ? selector[0] : selector;
    if (node === this.#run.share.node) {
      if (this.#run.unbound.has(register)) throw new Unknown(needsOutputOf(`the task that registers "${register}"`));
      return this.#run.bindings.get(register);
    }
    const read = spec.reads.find((known) => known.node === node && known.register === register);
    if (read === undefined) {
      throw new KkError({
        code: 'NODE_READ_UNKNOWN',
        message: `The task reads ${register} of ${JSON.stringify(node)}, which the plan did not announce.`,
        remedy: 'Write node("NAME").register with a name that is known from the plan and inventory alone.',
        position: { file: spec.file, line: spec.at[0], column: spec.at[1] },
      });
    }
    if (read.known !== undefined) return read.known.value;
    const gate = this.#run.gates.get(read.gate);
    if (gate?.open !== true) return undefined;
    if (this.#run.share.check === true && gate.values === null) {
      throw new Unknown(needsOutputOf(`the task that registers "${register}" on ${node}`));
    }
    return gate.values;
  }
}

function needsOutputOf(task: string): string {
  return `it needs the output of ${task}, which a dry run does not run`;
}

function own(map: Readonly<Record<string, Json>>, name: string): Json | undefined {
  return Object.hasOwn(map, name) ? map[name] : undefined;
}
