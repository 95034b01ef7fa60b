/** How a step can fail by the rules of its task rather than by its action. */
import type { ErrorReport } from '../../shared/errors.ts';
import type { TaskSpec } from '../../shared/share.ts';
import type { Attempted } from './attempt.ts';

/** A command that a signal ended has not done its work, whatever failed_when makes of it. */
export function wasKilled({ output }: Attempted): boolean {
  return typeof output === 'object' && output !== null && !Array.isArray(output) && output['signal'] !== undefined;
}

/** `failed_when` says so. */
export function failedWhen(spec: TaskSpec): ErrorReport {
  return {
    code: 'FAILED_WHEN',
    message: `The task counts as failed: ${spec.failedWhen.map((condition) => condition.text).join(' and ')}.`,
    remedy: 'See the output for the reason; mend it on the node, or the condition in failed_when.',
  };
}

/** The attempts are used up. */
export function untilNotMet(spec: TaskSpec, attempts: number): ErrorReport {
  return {
    code: 'UNTIL_NOT_MET',
    message: `After ${attempts} ${attempts === 1 ? 'attempt' : 'attempts'} this still does not hold: ${spec.until?.text ?? ''}.`,
    remedy: 'See the output of the last attempt; raise `retries` or `delay` if it only needs longer.',
  };
}

/** Nobody can say how far it came. */
export function interruptedError(): ErrorReport {
  return {
    code: 'INTERRUPTED',
    message: 'The agent or the node went down while the task was at work, and it cannot be repeated safely.',
    remedy: 'See on the node how far it came; set `on_interrupt: rerun` on the task if it may simply run again.',
  };
}
