import { z } from 'zod';
import { defineAction } from './define-action.ts';
import { AbsolutePath, Account, given } from './fields.ts';
import { Mode } from './mode.ts';
import { FileLeft } from './text-file.ts';

const CONTENT = ['content', 'template', 'source'] as const;

/** A regular file with this content, put in place atomically. Without content only its attributes are seen to. */
export const file = defineAction({
  kind: 'file',
  version: 1,
  summary: 'a file with this content, mode and owner; or none',
  input: z
    .strictObject({
      path: AbsolutePath,
      content: z.string().optional(),
      /** A path below the role's templates/, rendered with the step's variables; `role:path`: below those of another role. */
      template: z.string().min(1).optional(),
      /** A path below the role's files/, taken as it is; `role:path`: below those of another role. */
      source: z.string().min(1).optional(),
      /** Unstated: an existing file keeps its own, a new one gets 0644 and the agent's user. */
      mode: Mode.optional(),
      owner: Account.optional(),
      group: Account.optional(),
      state: z.enum(['present', 'absent']).default('present'),
    })
    .refine((input) => given(input, CONTENT).length <= 1, 'give at most one of content, template and source')
    .refine(
      (input) => input.state === 'present' || given(input, [...CONTENT, 'mode', 'owner', 'group']).length === 0,
      'a file with state: absent has no content, mode or owner',
    ),
  output: FileLeft,
  changes: true,
  repeatable: true,
  undo: 'restores',
  example: {
    path: '/etc/modules-load.d/kk.conf',
    content: 'br_netfilter\n',
    mode: '0644',
  },
});
