import { z } from 'zod';
import { defineAction } from './define-action.ts';

/** Waits until a person has said yes: `apply` asks on its terminal, `--yes` answers, `runs confirm` does from elsewhere. */
export const confirm = defineAction({
  kind: 'confirm',
  version: 1,
  summary: 'wait until a person has said yes',
  input: z.strictObject({
    /** What will be done, as a sentence. */
    message: z.string().min(1).max(2000),
  }),
  output: z.object({
    /** Who said yes: the local user's name. */
    by: z.string(),
  }),
  shorthand: (value) => (typeof value === 'string' ? { message: value } : undefined),
  changes: false,
  repeatable: true,
  undo: 'nothing',
  place: 'controller',
  example: { message: 'Everything in {{ groups.etcd | length }} members of etcd will be deleted.' },
});
