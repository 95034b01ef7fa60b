/** What a share's steps see of their node: bindings, facts, other nodes' registers. */

import { KkError } from '../../shared/errors.ts';
import type { Value } from '../../shared/expr/index.ts';
import type { Common, TaskSpec } from '../../shared/share.ts';
import { NodeVariables } from '../../shared/variables.ts';
import { Unknown } from '../actions/unknown.ts';
import type { RunRecord } from './state.ts';

/** The variables of a share's node, as they are when they are asked for. `secret`: the value of one of the run's secrets. */
export function shareVariables(
  run: RunRecord,
  common: Common,
  secret: (name: string) => string | undefined,
): NodeVariables {
  return new NodeVariables(common, {
    node: run.share.node,
    hostVars: run.share.hostVars,
    facts: () => run.facts?.facts as unknown as Value | undefined,
    bound(name) {
      const bound = run.bindings.get(name);
      if (bound !== undefined) return bound;
      const binder = run.unbound.get(name);
      if (binder !== undefined) throw new Unknown(needsOutputOf(`"${common.tasks[binder]?.name ?? name}"`));
      return undefined;
    },
    boundNames: () => run.bindings.keys(),
    readNode: (spec, selector, register) => readNode(run, spec, selector, register),
    secret(name) {
      if (run.share.check === true) throw new Unknown(`it needs the secret "${name}", which a dry run does not fetch`);
      return secret(name);
    },
  });
}

function readNode(run: RunRecord, spec: TaskSpec, selector: Value, register: string): Value | undefined {
  const node = Array.isArray(selector) ? selector[0] : selector;
  if (node === run.share.node) {
    if (run.unbound.has(register)) throw new Unknown(needsOutputOf(`the task that registers "${register}"`));
    return run.bindings.get(register);
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
  const gate = run.gates.get(read.gate);
  if (gate?.open !== true) return undefined;
  if (run.share.check === true && gate.values === null) {
    throw new Unknown(needsOutputOf(`the task that registers "${register}" on ${node}`));
  }
  return gate.values;
}

function needsOutputOf(task: string): string {
  return `it needs the output of ${task}, which a dry run does not run`;
}
