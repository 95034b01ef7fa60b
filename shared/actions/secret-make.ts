import { z } from 'zod';
import { defineAction } from './define-action.ts';
import { AbsolutePath, Handle } from './fields.ts';

/** Makes a secret of the plan, kept encrypted by the controller; `secret('name')` reads it. A rollback deletes it. */
export const secretMake = defineAction({
  kind: 'secret.make',
  version: 1,
  summary: 'make a secret that nodes read by its name',
  input: z
    .strictObject({
      name: Handle,
      kind: z.enum(['bootstrap_token', 'certificate_key', 'password', 'files']),
      /** `plan`: made once, and the same in every run of the plan. `run`: made anew in each. */
      keep: z.enum(['run', 'plan']).default('plan'),
      /**
       * With kind `files`: files on the controller's machine, each with a line that is secret, by what it is called; the
       * secret is a map of these lines as JSON.
       */
      files: z.record(z.string().min(1).max(300), AbsolutePath).optional(),
    })
    .refine((input) => (input.kind === 'files') === (input.files !== undefined), 'files and kind: files go together')
    .refine((input) => input.kind !== 'files' || input.keep === 'run', 'what files say is read in each run: keep: run'),
  output: z.object({ name: z.string() }),
  changes: false,
  repeatable: true,
  undo: 'restores',
  place: 'controller',
  example: { name: 'bootstrap_token', kind: 'bootstrap_token', keep: 'run' },
});
