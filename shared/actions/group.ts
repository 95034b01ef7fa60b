import { z } from 'zod';
import { defineAction } from './define-action.ts';
import { AccountName } from './fields.ts';

/** A group of the machine's own files (group(5)); those of a directory service are left alone. */
export const group = defineAction({
  kind: 'group',
  version: 1,
  summary: 'a group of users; or none',
  input: z
    .strictObject({
      name: AccountName,
      gid: z.int().min(0).max(4_294_967_294).optional(),
      /** A new one gets a number below those of people. */
      system: z.boolean().default(false),
      state: z.enum(['present', 'absent']).default('present'),
    })
    .refine(
      (input) => input.state === 'present' || (input.gid === undefined && !input.system),
      'state: absent takes only the name',
    ),
  output: z.object({ name: z.string(), gid: z.int().optional() }),
  shorthand: (value) => (typeof value === 'string' ? { name: value } : undefined),
  changes: true,
  repeatable: true,
  undo: 'restores',
  example: { name: 'etcd', system: true },
});
