import { z } from 'zod';
import { defineAction } from './define-action.ts';

/** `that` holds conditions, evaluated by the agent as conditions, not as templates. */
export const assert = defineAction({
  kind: 'assert',
  version: 1,
  summary: 'fail unless every condition holds',
  input: z.strictObject({
    /** Conditions in expression syntax; the executor gets them already judged. */
    that: z.array(z.union([z.string(), z.boolean()])).min(1),
    message: z.string().optional(),
  }),
  output: z.object({ held: z.int() }),
  shorthand: (value) =>
    typeof value === 'string' ? { that: [value] } : Array.isArray(value) ? { that: value } : undefined,
  changes: false,
  repeatable: true,
  undo: 'nothing',
  example: { that: ['facts.cpu.count >= 2'], message: 'Kubernetes needs two cores.' },
});
