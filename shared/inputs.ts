import { ACTIONS, contractOf, type PlanActionKind, runsProgram } from './actions/index.ts';
import { isPrivate, writesWithMode } from './actions/private-file.ts';
import { KkError } from './errors.ts';
import { escaped, holds, originOf, renderDeep } from './evaluate.ts';
import type { Scope } from './expr/index.ts';
import type { Json, TaskSpec } from './share.ts';

/** A task's inputs after templates, shorthand and the action's contract. */
export interface Inputs {
  value: unknown;
  /** May the attempt be repeated after a crash (the contract's `repeatable`)? */
  repeatable: boolean;
}

/**
 * Evaluates and checks the inputs of one attempt. Throws KkError EXPR_* or ACTION_INPUT, both with the place of the
 * offending value.
 */
export function inputsOf(spec: TaskSpec, kind: PlanActionKind, scope: Scope): Inputs {
  const contract = contractOf(kind);
  const rendered = kind === 'assert' ? judged(spec, scope) : renderedInputs(spec, kind, scope);
  const isMap = typeof rendered === 'object' && rendered !== null && !Array.isArray(rendered);
  const full = isMap ? rendered : contract.shorthand?.(rendered);
  const parsed = contract.input.safeParse(full);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    const path = (issue?.path ?? []).map((part) => `/${escaped(String(part))}`).join('');
    const { file, line, column } = originOf(spec, `/inputs${path}`);
    throw new KkError({
      code: 'ACTION_INPUT',
      message: `${kind}: ${path === '' ? '' : `${path.slice(1)}: `}${issue?.message ?? 'the inputs do not fit'}.`,
      remedy: `Mend the inputs of the task; an example: ${JSON.stringify(contract.example)}`,
      position: { file, line, column },
    });
  }
  if (spec.secrets !== undefined) refuseReadable(spec, kind, parsed.data);
  const { repeatable } = contract;
  const isRepeatable = typeof repeatable === 'boolean' ? repeatable : repeatable(parsed.data as never);
  return { value: parsed.data, repeatable: isRepeatable };
}

/** What remedies say stays as it is written: braces in them are meant for a person, and show themselves only when something failed. */
function renderedInputs(spec: TaskSpec, kind: PlanActionKind, scope: Scope): Json {
  const { inputs } = spec;
  const hasRemedies = typeof inputs === 'object' && inputs !== null && !Array.isArray(inputs) && 'remedies' in inputs;
  if (!runsProgram(kind) || !hasRemedies) return renderDeep(inputs, spec, '/inputs', scope);
  const { remedies, ...rest } = inputs;
  return { ...(renderDeep(rest, spec, '/inputs', scope) as { [key: string]: Json }), remedies: remedies ?? null };
}

/** The inputs of `assert`: its conditions are expressions, judged here; the action only says which did not hold. */
function judged(spec: TaskSpec, scope: Scope): Json {
  const contract = ACTIONS.assert;
  const { inputs } = spec;
  const full =
    typeof inputs === 'object' && inputs !== null && !Array.isArray(inputs) ? inputs : contract.shorthand?.(inputs);
  if (typeof full !== 'object' || full === null || !('that' in full)) return renderDeep(inputs, spec, '/inputs', scope);
  const { that, ...rest } = full as { that: Json; [key: string]: Json };
  const conditions = Array.isArray(that) ? that : [that];
  const results = conditions.map((condition, index) => {
    if (typeof condition !== 'string') return condition;
    const { file, line, column } = originOf(spec, `/inputs/that/${index}`);
    return holds({ text: condition, at: [line, column] }, file, scope) ? true : condition;
  });
  return { ...(renderDeep(rest, spec, '/inputs', scope) as { [key: string]: Json }), that: results };
}

/** A mode that the plan could not judge, for it is a template: a secret is for the owner of the file and its group alone. */
function refuseReadable(spec: TaskSpec, kind: PlanActionKind, value: unknown): void {
  const { mode, state } = value as { mode?: unknown; state?: unknown };
  if (!writesWithMode(kind) || state === 'absent' || isPrivate(mode)) return;
  const { file, line, column } = originOf(spec, '/inputs/mode');
  throw new KkError({
    code: 'SECRET_READABLE',
    message: `The task writes a secret to a file that others may read: its mode is ${String(mode)}.`,
    remedy: 'Give it mode: "0600", or "0640" and a group.',
    position: { file, line, column },
  });
}
