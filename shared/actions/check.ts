import { z } from 'zod';
import { defineAction } from './define-action.ts';

/**
 * Gathers what a precheck rule needs to know; the controller judges (ENGINE 1.5). It always ends ok: what could not be
 * found out is in `trouble`, and the rule makes of it the outcome `error`.
 */
export const check = defineAction({
  kind: 'check',
  version: 1,
  summary: 'gather the facts of one precheck rule; the controller judges them',
  input: z.strictObject({
    /** A name of shared/checks RULES. */
    rule: z.string(),
    /** Thresholds and other parameters of the rule; its own schema checks them. */
    with: z.record(z.string(), z.json()).default({}),
  }),
  output: z.object({
    rule: z.string(),
    with: z.record(z.string(), z.json()),
    /** What the rule's `needs` asked for. */
    facts: z.json(),
    trouble: z.string().optional(),
  }),
  shorthand: (value) => (typeof value === 'string' ? { rule: value } : undefined),
  changes: false,
  repeatable: true,
  undo: 'nothing',
  example: { rule: 'memory', with: { minimum_mib: 1700 } },
});
