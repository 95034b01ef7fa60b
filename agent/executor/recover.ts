/** `recover:` tasks: what restores a known state before an interrupted step runs again (ENGINE 3.3). */
import { ACTIONS, type ActionKind, runsProgram } from '../../shared/actions/index.ts';
import { whySkipped } from '../../shared/conditions.ts';
import { type ErrorReport, KkError, reportOf } from '../../shared/errors.ts';
import type { Scope } from '../../shared/expr/index.ts';
import { type Inputs, inputsOf } from '../../shared/inputs.ts';
import type { Json, RecoverTask, TaskSpec } from '../../shared/share.ts';
import type { Attempted } from './attempt.ts';
import { registerOf, typedRegister } from './outcome.ts';

export interface RecoverPorts {
  /** Notes in the journal which task is about to start: a crash here is found again. */
  begin(index: number): void;
  /** The step's own scope, with more names on top. */
  scopeOf(spec: TaskSpec, registers: Readonly<Record<string, Json>>): Scope;
  attempt(spec: TaskSpec, index: number, inputs: Inputs, scope: Scope): Promise<Attempted>;
  commandFailure(output: Json): ErrorReport | undefined;
  /** Waits until something may start; false: cancelled. */
  turn(): Promise<boolean>;
}

/** `cancelled`, why the state could not be restored, or undefined: it is. Never rejects. */
export async function restore(
  owner: TaskSpec,
  ports: RecoverPorts,
): Promise<'cancelled' | { error: ErrorReport } | undefined> {
  const registers: Record<string, Json> = {};
  // Before any condition is asked: it is this that counts as a recovery.
  ports.begin(0);
  for (const [index, task] of (owner.recover ?? []).entries()) {
    try {
      const bound = await one(owner, task, index, registers, ports);
      if (bound === 'cancelled') return bound;
      if (task.register !== undefined) registers[task.register.name] = bound;
    } catch (thrown) {
      return { error: notRestored(owner, task, reportOf(thrown)) };
    }
  }
  return undefined;
}

/** One task; its register's value. Throws what it failed with. */
async function one(
  owner: TaskSpec,
  task: RecoverTask,
  index: number,
  registers: Readonly<Record<string, Json>>,
  ports: RecoverPorts,
): Promise<Json | 'cancelled'> {
  const spec = asTask(owner, task);
  const scope = ports.scopeOf(spec, registers);
  const flags = { changed: false, failed: false, skipped: true };
  if (whySkipped(spec, spec.when, scope) !== undefined) return registerOf(spec.action, undefined, flags);
  const inputs = inputsOf(spec, spec.action as ActionKind, scope);
  if (index > 0) ports.begin(index);
  let tried = await ports.attempt(spec, index, inputs, scope);
  while (tried.postponed === true) {
    if (!(await ports.turn())) return 'cancelled';
    tried = await ports.attempt(spec, index, inputs, scope);
  }
  const { output, changed, error } = tried;
  const failure = error ?? (runsProgram(spec.action) ? ports.commandFailure(output ?? null) : undefined);
  if (failure !== undefined) throw new KkError(failure);
  return typedRegister(spec, registerOf(spec.action, output, { ...flags, changed, skipped: false }));
}

/** A recover task as a task of its own, in the place and with the variables of its step. */
export function asTask(owner: TaskSpec, task: RecoverTask): TaskSpec {
  const { loop: _loop, until: _until, register: _register, recover: _recover, blobs: _blobs, ...rest } = owner;
  const { register, vars, ...own } = task;
  return {
    ...rest,
    ...own,
    vars: { ...owner.vars, ...vars },
    retries: 0,
    failedWhen: [],
    changedWhen: [],
    ...(register === undefined ? {} : { register: { ...register, exported: false } }),
  };
}

/** Does nothing by itself: to find the command that an earlier life of the agent began in a folder. */
export const NOTHING_TO_DO: Inputs = {
  value: ACTIONS.command.input.parse({ argv: ['true'], unless: ['true'] }),
  repeatable: true,
};

function notRestored(owner: TaskSpec, task: RecoverTask, why: ErrorReport): ErrorReport {
  const place = why.position ?? { file: owner.file, line: task.at[0], column: task.at[1] };
  return {
    code: 'RECOVER_FAILED',
    message: `The task was interrupted, and "${task.name}", which restores a known state, failed: ${why.message}`,
    remedy: 'See on the node how far the task came, mend what the recover task met, then retry.',
    ...(why.evidence === undefined ? {} : { evidence: why.evidence }),
    position: place,
  };
}
