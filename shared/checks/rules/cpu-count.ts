import { z } from 'zod';
import { Facts } from '../../facts.ts';
import { FloorsByGroup, judgeFloor } from '../by-group.ts';
import { defineRule, fail, pass, unknown, warn } from '../define-rule.ts';

export const cpuCount = defineRule({
  name: 'cpu_count',
  summary: 'there are enough CPUs for the roles of the node',
  needs: 'facts',
  facts: Facts.pick({ cpu: true }),
  params: z.strictObject({
    groups: z.array(z.string()),
    minimum: FloorsByGroup,
  }),
  judge({ cpu }, params) {
    const evidence = { count: cpu.count, model: cpu.model };
    if (cpu.count <= 0) return unknown('the CPUs could not be counted', 'check /proc/cpuinfo on the node');
    const { outcome, asked } = judgeFloor(params.minimum, params.groups, cpu.count);
    const message = `${cpu.count} ${cpu.count === 1 ? 'CPU' : 'CPUs'}, wanted at least ${asked.value} (${asked.group})`;
    if (outcome === 'pass') return pass(message, evidence);
    const remedy = `give the machine at least ${asked.value} CPUs, or take the node out of ${asked.group}`;
    return outcome === 'warn' ? warn(message, remedy, evidence) : fail(message, remedy, evidence);
  },
});
