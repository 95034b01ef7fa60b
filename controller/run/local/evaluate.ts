/** What a step of the controller's own is asked to do: its texts, evaluated with what is known of its node. */
import { createHash } from 'node:crypto';
import type { PlanActionKind } from '../../../shared/actions/index.ts';
import { whySkipped } from '../../../shared/conditions.ts';
import { KkError } from '../../../shared/errors.ts';
import type { Scope, Value } from '../../../shared/expr/index.ts';
import { inputsOf } from '../../../shared/inputs.ts';
import { Sealed } from '../../../shared/seal.ts';
import type { Json, TaskSpec } from '../../../shared/share.ts';
import { NodeVariables } from '../../../shared/variables.ts';
import type { TaskGraph } from '../../compile/graph.ts';
import { type RunState, stepState } from '../state.ts';
import type { Step } from './tasks.ts';

/** Dry run: a value is not there, because the task that makes it was not run. */
export class NotMade extends Error {
  override name = 'NotMade';
}

export interface Surroundings {
  facts: Value | undefined;
  /** Opens what only the controller can read. Throws. */
  unseal(value: Sealed): Json;
}

export interface Evaluated {
  /** Why it is not done; undefined: it is. */
  skipped?: string;
  inputs: Json;
  /** It was told something secret: nothing of what it saw is shown or stored. */
  isSecret: boolean;
  /** Is something of that in its inputs? */
  hasSecretInputs: boolean;
}

/** Throws KkError EXPR_*, ACTION_INPUT; NotMade. */
export function evaluateStep(state: RunState, { task, node }: Step, around: Surroundings): Evaluated {
  const spec = state.graph.common.tasks[task] as TaskSpec;
  const asked = { secret: false };
  const skipped = whySkipped(spec, spec.when, scopeOf(state, { task, node }, around, asked));
  if (skipped !== undefined) return { skipped, inputs: null, isSecret: asked.secret, hasSecretInputs: false };
  // Inputs of a rollback are made by kk, for an action that has them otherwise on nodes.
  if (spec.action === 'undo') return { inputs: spec.inputs, isSecret: false, hasSecretInputs: false };
  // Another scope: one that has rendered a variable for the conditions would not tell of it again.
  const told = { secret: false };
  const scope = scopeOf(state, { task, node }, around, told);
  const inputs = inputsOf(spec, spec.action as PlanActionKind, scope).value as Json;
  return { inputs, isSecret: asked.secret || told.secret, hasSecretInputs: told.secret };
}

/** Does the task ask what its node is like? */
export function asksForFacts({ inputs, when, vars }: TaskSpec): boolean {
  return /\bfacts\b/.test(JSON.stringify([inputs, when, vars]));
}

/** Equal digests mean that the step would do the same (ENGINE 3.4). */
export function digestOf(spec: TaskSpec, inputs: Json): string {
  return createHash('sha256')
    .update(JSON.stringify([spec.action, inputs]))
    .digest('hex');
}

function scopeOf(state: RunState, { task, node }: Step, around: Surroundings, told: { secret: boolean }): Scope {
  const { graph } = state;
  const spec = graph.common.tasks[task] as TaskSpec;
  const isCheck = graph.kind === 'check';
  const opened = (by: number, value: Json | undefined): Json | undefined => {
    const sealed = graph.common.tasks[by]?.register?.seal === undefined ? undefined : Sealed.safeParse(value);
    if (sealed === undefined) return value;
    told.secret = true;
    if (!sealed.success) throw new TypeError('a sealed register is not in its form');
    return around.unseal(sealed.data);
  };
  const registered = (name: string, where: number): Json | undefined => {
    const all = bindersOf(graph).get(name) ?? [];
    for (const by of all.toReversed()) {
      const value = by < task ? state.registers.get(`${by}@${where}`) : undefined;
      if (value !== undefined) return opened(by, ownPart(graph, by, name, value));
      // On its node it is bound, too; an agent tells only what it made.
      const ended = by < task && !isCheck ? stepState(state, by, where) : undefined;
      if (graph.common.tasks[by]?.register?.name === name && (ended === 'skipped' || ended === 'failed'))
        return { changed: false, failed: ended === 'failed', skipped: ended === 'skipped' };
    }
    const isMissing = all.some(
      (by) => by < task && (graph.sets[graph.tasks[by]?.set ?? -1]?.position[where] ?? -1) >= 0,
    );
    if (isCheck && isMissing)
      throw new NotMade(`it needs the output of the task that registers "${name}", which a dry run does not run`);
    return undefined;
  };
  const variables = new NodeVariables(graph.common, {
    node: graph.nodes[node] ?? '',
    hostVars: graph.hostVars[node] ?? {},
    facts: () => around.facts,
    bound: (name) => registered(name, node),
    boundNames: () => bindersOf(graph).keys(),
    readNode: (_, selector, register) => {
      const name = Array.isArray(selector) ? selector[0] : selector;
      return registered(register, graph.nodes.indexOf(String(name)));
    },
  });
  return variables.scopeOf(spec);
}

/** `set_fact` binds several names, a register one. */
function ownPart(graph: TaskGraph, task: number, name: string, value: Json): Json | undefined {
  const spec = graph.common.tasks[task];
  if (spec?.register?.name === name) return value;
  return typeof value === 'object' && value !== null && !Array.isArray(value) && Object.hasOwn(value, name)
    ? value[name]
    : undefined;
}

const known = new WeakMap<TaskGraph, ReadonlyMap<string, readonly number[]>>();

/** name -> tasks that bind it, in order. */
export function bindersOf(graph: TaskGraph): ReadonlyMap<string, readonly number[]> {
  const found = known.get(graph);
  if (found) return found;
  const made = new Map<string, number[]>();
  graph.common.tasks.forEach(({ register, action, inputs }, task) => {
    const facts = action === 'set_fact' && typeof inputs === 'object' && inputs !== null ? Object.keys(inputs) : [];
    for (const name of [...(register ? [register.name] : []), ...facts])
      made.set(name, [...(made.get(name) ?? []), task]);
  });
  known.set(graph, made);
  return made;
}

/** The value was sealed by another key, or what was stored is damaged. */
export function cannotUnseal(cause: unknown): KkError {
  return new KkError({
    code: 'SEAL_BROKEN',
    message: 'A sensitive register that the controller was told cannot be opened.',
    remedy:
      'Was the folder pki of the controller restored from elsewhere? Run the task that registers it again: `kk-controller retry RUN --task …`.',
    cause,
  });
}
