import { ruleOf } from '../../shared/checks/index.ts';
import type { gatherForRule } from '../facts/index.ts';
import type { ActionExecutor } from './executor.ts';
import { observing } from './observing.ts';
import { Unknown } from './unknown.ts';

/** Gathers; the controller judges. Always ends ok: what could not be found out is `trouble`. */
export function checkExecutor(gather: typeof gatherForRule): ActionExecutor<'check'> {
  return observing<'check'>(async ({ rule, with: params }, context) => {
    if (context.dryRun === true && ruleOf(rule)?.needs === 'etcd_disk') {
      throw new Unknown('the latency of a disk is measured by writing on it, which a dry run does not do');
    }
    const { facts, trouble } = await gather(rule, params, context);
    return { rule, with: params, facts, ...(trouble === undefined ? {} : { trouble }) };
  });
}
