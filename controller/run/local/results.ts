/** From what a step of the controller's own gave to what is stored of it, and what its register holds. Pure. */
import { contractOf } from '../../../shared/actions/index.ts';
import { type ErrorReport, KkError } from '../../../shared/errors.ts';
import type { Json, StepResult, TaskSpec } from '../../../shared/share.ts';
import { registerError } from '../register-error.ts';
import type { LocalDone } from './local-action.ts';

/** `isSecret`: its output is shown and stored nowhere. Throws KkError REGISTER_TYPE, REGISTER_TOO_LARGE. */
export function doneResult(spec: TaskSpec, done: LocalDone, isSecret: boolean): StepResult {
  const { changed, output } = checked(spec, done);
  const result: StepResult = { changed, ...(isSecret ? {} : { output }) };
  if (spec.register === undefined) return result;
  const fields = { ...(output as { [name: string]: Json }), changed, failed: false, skipped: false };
  const error = registerError(spec.register, fields);
  if (error) throw new KkError(error);
  return { ...result, register: fields };
}

/** It was done in an earlier revision, and is not done again. */
export function keptResult(spec: TaskSpec, done: LocalDone): StepResult {
  return { ...doneResult(spec, done, false), kept: true };
}

export function skippedResult(reason: string): StepResult {
  return { changed: false, reason, register: { changed: false, failed: false, skipped: true } };
}

export function failedResult(
  { file, at, key, register }: TaskSpec,
  node: string,
  report: ErrorReport,
  isSecret: boolean,
): StepResult {
  const { evidence, ...rest } = report;
  const shown = evidence === undefined || isSecret ? {} : { evidence };
  const error = { position: { file, line: at[0], column: at[1] }, ...rest, ...shown, node, task: key };
  const { code, message } = report;
  const bound = { changed: false, failed: true, skipped: false, message, error: { code, message } };
  return { changed: false, error, ...(register === undefined ? {} : { register: bound }) };
}

/** After the contract of its kind: what is not of it goes nowhere. Throws what zod throws, which is a defect of the action. */
function checked({ action }: TaskSpec, { changed, output }: LocalDone): LocalDone {
  return { changed, output: (contractOf(action)?.output.parse(output) ?? output) as Json };
}
