import type { gatherForRule } from '../facts/index.ts';
import type { ActionExecutor } from './executor.ts';
import { observing } from './observing.ts';

/** Gathers; the controller judges. Always ends ok: what could not be found out is `trouble`. */
export function checkExecutor(gather: typeof gatherForRule): ActionExecutor<'check'> {
  return observing<'check'>(async ({ rule, with: params }, context) => {
    const { facts, trouble } = await gather(rule, params, context);
    return { rule, with: params, facts, ...(trouble === undefined ? {} : { trouble }) };
  });
}
