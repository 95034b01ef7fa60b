import { KkError } from '../../shared/errors.ts';
import { observing } from './observing.ts';

/** The conditions come judged: true, or the text of one that does not hold (or false, where it was given as a value). */
export const assertExecutor = observing<'assert'>(({ that, message }) => {
  const failed = that.findIndex((condition) => condition !== true && condition !== 'true');
  if (failed === -1) return { held: that.length };
  const condition = that[failed];
  const text = typeof condition === 'string' && condition !== 'false' ? `: ${condition}` : '';
  throw new KkError({
    code: 'ASSERT_FAILED',
    message: message ?? `Condition ${failed + 1} of ${that.length} does not hold${text}.`,
    remedy: 'Make the condition hold on the node, or change what the plan asserts.',
    evidence: `that[${failed}]${text}`,
  });
});
