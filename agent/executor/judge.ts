/** What the rules of a task make of an attempt: failed_when, changed_when, until; and what of it may be shown. */
import { runsProgram } from '../../shared/actions/index.ts';
import type { ErrorReport } from '../../shared/errors.ts';
import { holds } from '../../shared/evaluate.ts';
import type { Json, SourceText } from '../../shared/share.ts';
import type { Attempted } from './attempt.ts';
import { maskJson } from './mask.ts';
import { registerOf } from './outcome.ts';
import type { ItemEnd } from './records.ts';
import type { ItemVars, StepContext } from './step-context.ts';
import { failedWhen, untilNotMet } from './step-errors.ts';

/** Deterministic mistakes of the plan: another attempt would give the same. */
const NO_RETRY = /^(EXPR_|ACTION_INPUT$|REGISTER_|NODE_READ_)/;

export function isFinal({ code }: ErrorReport): boolean {
  return NO_RETRY.test(code);
}

/** `final`: no other attempt would help. Throws EXPR_*. */
export function judge(
  step: StepContext,
  tried: Attempted,
  extra: ItemVars,
  attempts: number,
): { end: ItemEnd; final: boolean } {
  const { spec, ports, run } = step;
  const { output } = tried;
  const isCommand = runsProgram(spec.action) && output !== undefined;
  let error = tried.error;
  if (error === undefined && isCommand && spec.failedWhen.length === 0) error = ports.commandFailure(output);
  let { changed } = tried;
  const see = (): Record<string, Json> => {
    const register = registerOf(spec.action, output, { changed, failed: error !== undefined, skipped: false }, error);
    return { ...extra, result: register, ...(spec.register === undefined ? {} : { [spec.register.name]: register }) };
  };
  const all = (conditions: readonly SourceText[]): boolean => {
    const scope = step.scope(see());
    return conditions.length > 0 && conditions.every((condition) => holds(condition, spec.file, scope));
  };
  if (tried.error === undefined && spec.changedWhen.length > 0) changed = all(spec.changedWhen);
  if (tried.error === undefined && spec.failedWhen.length > 0 && all(spec.failedWhen)) error = failedWhen(spec);
  const ok = { ...tried, changed };
  const failed = (why: ErrorReport): ItemEnd => itemFailed(step, why, ok, extra, attempts);
  if (spec.until !== undefined && run.share.check !== true) {
    // An attempt that threw has no output to ask about.
    const met = tried.error === undefined && all([spec.until]);
    if (!met)
      return { end: failed(error ?? untilNotMet(spec, attempts)), final: error !== undefined && isFinal(error) };
  }
  if (error !== undefined) return { end: failed(error), final: spec.until !== undefined || isFinal(error) };
  return { end: itemOk(step, ok, extra, attempts), final: true };
}

function itemOk(step: StepContext, tried: Attempted, extra: ItemVars, attempts: number): ItemEnd {
  const shown = shownOf(step, tried);
  const flags = { changed: tried.changed, failed: false, skipped: false };
  const fields = registerOf(step.spec.action, shown.output, flags);
  return { outcome: 'ok', attempts, ...kept(shown), register: { ...fields, ...extra } };
}

export function itemFailed(
  step: StepContext,
  found: ErrorReport,
  tried: Attempted,
  extra: ItemVars,
  attempts: number,
): ItemEnd {
  const shown = shownOf(step, tried);
  const error = step.reported(found);
  const flags = { changed: tried.changed, failed: true, skipped: false };
  const fields = registerOf(step.spec.action, shown.output, flags, error);
  return { outcome: 'failed', attempts, ...kept(shown), register: { ...fields, ...extra }, error };
}

/** Nothing shows a secret that the node was given, whatever a step has seen of it; what is sensitive is shown nowhere. */
export function shownOf({ ports, spec }: StepContext, tried: Attempted): Attempted {
  const secrets = ports.secrets();
  if (spec.sensitive || secrets.length === 0) return tried;
  const { output, diffs } = tried;
  return {
    ...tried,
    ...(output === undefined ? {} : { output: maskJson(output, secrets) }),
    ...(diffs === undefined ? {} : { diffs: maskJson(diffs, secrets) }),
  };
}

/** Of an attempt what its item keeps. */
export function kept({ changed, output, diffs }: Attempted): Pick<ItemEnd, 'changed' | 'output' | 'diffs'> {
  return { changed, ...(output === undefined ? {} : { output }), ...(diffs === undefined ? {} : { diffs }) };
}
