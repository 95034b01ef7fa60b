import { z } from 'zod';
import { Facts } from '../../facts.ts';
import { defineRule, fail, pass, unknown, warn } from '../define-rule.ts';
import { atLeast } from '../versions.ts';

export const kernel = defineRule({
  name: 'kernel',
  summary: 'the kernel is recent enough',
  needs: 'facts',
  facts: Facts.pick({ kernel: true }),
  params: z.strictObject({ fail_below: z.string(), warn_below: z.string() }),
  judge({ kernel: found }, params) {
    const evidence = { release: found.release };
    const works = atLeast(found.release, params.fail_below);
    if (works === undefined) {
      return unknown(
        `the kernel release "${found.release}" has no version number`,
        'check `uname -r` on the node',
        evidence,
      );
    }
    const remedy = 'install a newer kernel from the distribution and reboot, or move to a newer release of it';
    if (!works) {
      return fail(`kernel ${found.release}, wanted at least ${params.fail_below}`, remedy, evidence);
    }
    if (atLeast(found.release, params.warn_below) === false) {
      return warn(`kernel ${found.release} works, ${params.warn_below} or later is advised`, remedy, evidence);
    }
    return pass(`kernel ${found.release}, wanted at least ${params.warn_below}`, evidence);
  },
});
