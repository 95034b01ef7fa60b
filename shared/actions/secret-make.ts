import { z } from 'zod';
import { defineAction } from './define-action.ts';
import { Handle } from './fields.ts';

/** Makes a secret of the plan, kept encrypted by the controller; `secret('name')` reads it. A rollback deletes it. */
export const secretMake = defineAction({
  kind: 'secret.make',
  version: 1,
  summary: 'make a secret that nodes read by its name',
  input: z.strictObject({
    name: Handle,
    kind: z.enum(['bootstrap_token', 'certificate_key', 'password']),
    /** `plan`: made once, and the same in every run of the plan. `run`: made anew in each. */
    keep: z.enum(['run', 'plan']).default('plan'),
  }),
  output: z.object({ name: z.string() }),
  changes: false,
  repeatable: true,
  undo: 'restores',
  place: 'controller',
  example: { name: 'bootstrap_token', kind: 'bootstrap_token', keep: 'run' },
});
