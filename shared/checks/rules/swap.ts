import { z } from 'zod';
import { Facts } from '../../facts.ts';
import { defineRule, fail, pass, warn } from '../define-rule.ts';
import { mib } from '../units.ts';

/** The kubelet refuses to start with swap unless it is told otherwise (failSwapOn). */
export const swap = defineRule({
  name: 'swap',
  summary: 'swap is off, unless the plan allows it',
  needs: 'facts',
  facts: Facts.pick({ swap: true }),
  params: z.strictObject({
    /** What swap in use amounts to. */
    in_use: z.enum(['pass', 'warn', 'fail']),
  }),
  judge({ swap: found }, params) {
    const evidence = { total: found.total, devices: found.devices };
    if (found.devices.length === 0) return pass('swap is off', evidence);
    const message = `swap is on: ${mib(found.total)} in ${found.devices.join(', ')}`;
    if (params.in_use === 'pass') return pass(`${message}, as the plan allows`, evidence);
    const remedy =
      'run `swapoff -a` and take the swap lines out of /etc/fstab, or set precheck.swap.in_use: pass for a kubelet with failSwapOn: false';
    return params.in_use === 'warn' ? warn(message, remedy, evidence) : fail(message, remedy, evidence);
  },
});
