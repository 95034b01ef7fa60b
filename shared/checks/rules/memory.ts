import { z } from 'zod';
import { Facts } from '../../facts.ts';
import { FloorsByGroup, judgeFloor } from '../by-group.ts';
import { defineRule, fail, pass, unknown, warn } from '../define-rule.ts';
import { grouped, MIB, mib } from '../units.ts';

/** MemTotal, which is what firmware and kernel leave: a machine sold with 2 GiB shows some 1,900 MiB. */
export const memory = defineRule({
  name: 'memory',
  summary: 'there is enough memory for the roles of the node',
  needs: 'facts',
  facts: Facts.pick({ memory: true }),
  params: z.strictObject({
    groups: z.array(z.string()),
    /** MiB. */
    minimum_mib: FloorsByGroup,
  }),
  judge({ memory: found }, params) {
    const evidence = { total: found.total, available: found.available };
    if (found.total <= 0) return unknown('the size of memory could not be read', 'check /proc/meminfo on the node');
    const { outcome, asked } = judgeFloor(params.minimum_mib, params.groups, found.total / MIB);
    const message = `${mib(found.total)} of memory, wanted at least ${grouped(asked.value)} MiB (${asked.group})`;
    if (outcome === 'pass') return pass(message, evidence);
    const remedy = `give the machine at least ${grouped(asked.value)} MiB of memory, or take the node out of ${asked.group}`;
    return outcome === 'warn' ? warn(message, remedy, evidence) : fail(message, remedy, evidence);
  },
});
