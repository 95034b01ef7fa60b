import { z } from 'zod';
import { defineAction } from './define-action.ts';
import { AbsolutePath, Account, given } from './fields.ts';
import { Mode } from './mode.ts';

export const directory = defineAction({
  kind: 'directory',
  version: 1,
  summary: 'a directory with this mode and owner; or none',
  input: z
    .strictObject({
      path: AbsolutePath,
      /** Unstated: an existing directory keeps its own, a new one gets 0755 and the agent's user. */
      mode: Mode.optional(),
      owner: Account.optional(),
      group: Account.optional(),
      state: z.enum(['present', 'absent']).default('present'),
      /** With state: absent, also remove what is in it. */
      recursive: z.boolean().default(false),
    })
    .refine(
      (input) => input.state === 'present' || given(input, ['mode', 'owner', 'group']).length === 0,
      'a directory with state: absent has no mode or owner',
    )
    .refine((input) => input.state === 'absent' || !input.recursive, 'recursive belongs to state: absent'),
  output: z.object({ path: z.string(), mode: z.string().optional() }),
  shorthand: (value) => (typeof value === 'string' ? { path: value } : undefined),
  changes: true,
  repeatable: true,
  undo: 'restores',
  example: {
    path: '/etc/kubernetes/manifests',
    mode: '0750',
    owner: 'root',
    group: 'root',
  },
});
