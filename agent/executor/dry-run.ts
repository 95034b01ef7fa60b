/** What a dry run does of a step, and what it makes of what it sees. */
import { ACTIONS, type ActionKind, isActionKind } from '../../shared/actions/index.ts';
import type { Inputs } from '../../shared/inputs.ts';
import type { Json, TaskSpec } from '../../shared/share.ts';
import type { ActionContext, ActionExecutor } from '../actions/executor.ts';
import type { Attempted } from './attempt.ts';
import type { RunRecord } from './state.ts';

const WOULD_WAIT = 'it is not so now, and the run would wait for it';

/**
 * An action that only looks does so, for others can be asked what they see; of everything else only `inspect` is asked.
 * `changed` then means: would change. Throws what the action throws.
 */
export async function dryRun(
  action: string,
  executor: ActionExecutor<ActionKind>,
  { value }: Inputs,
  context: ActionContext,
): Promise<Attempted> {
  const looking: ActionContext = { ...context, dryRun: true };
  const inspected = await executor.inspect(value as never, looking);
  if (inspected.already) return { output: inspected.output as Json, changed: false };
  if (action === 'wait_for') return { changed: false, undone: true, unknown: WOULD_WAIT };
  if (isActionKind(action) && !ACTIONS[action].changes) {
    return { output: (await executor.apply(value as never, looking)).output as Json, changed: false };
  }
  const { diffs, foreseen, changed = true } = inspected;
  return {
    changed,
    undone: true,
    ...(foreseen === undefined ? {} : { output: foreseen as Json }),
    ...(diffs === undefined || diffs.length === 0 ? {} : { diffs }),
  };
}

/** Names that the step binds; of one that is not run nobody knows to what. */
export function namesBound({ action, register, inputs }: TaskSpec): string[] {
  const facts = action === 'set_fact' && typeof inputs === 'object' && inputs !== null ? Object.keys(inputs) : [];
  return [...(register === undefined ? [] : [register.name]), ...facts];
}

/** Would a step of this run have changed the node? What a later one then misses may be what that step makes. */
export function wouldHaveChanged(run: RunRecord): boolean {
  return [...run.steps.values()].some(({ ending }) => ending?.result.changed === true);
}
