import { z } from 'zod';
import { defineAction } from './define-action.ts';
import { given } from './fields.ts';
import { contradictionIn, FileLeft, LinePattern, TEXT_FILE } from './text-file.ts';

/** One line in a file of somebody else's; as Ansible's lineinfile. */
export const lineInFile = defineAction({
  kind: 'line_in_file',
  version: 1,
  summary: 'a line in a text file, in place of one that matches; or none',
  input: z
    .strictObject({
      ...TEXT_FILE,
      line: z
        .string()
        .max(64 * 1024)
        .regex(/^[^\r\n]*$/, 'a line has no line break; block_in_file takes several')
        .optional(),
      /** The last line that matches is replaced. With state: absent, every line that matches is taken out. */
      regexp: LinePattern.optional(),
    })
    .refine((input) => input.state === 'absent' || input.line !== undefined, 'say which line')
    .refine(
      (input) => input.state === 'present' || given(input, ['line', 'regexp']).length === 1,
      'state: absent takes exactly one of line and regexp',
    )
    .superRefine((input, { addIssue }) => {
      const message = contradictionIn(input);
      if (message !== undefined) addIssue({ code: 'custom', message });
    }),
  output: FileLeft,
  changes: true,
  repeatable: true,
  undo: 'restores',
  example: {
    path: '/etc/security/limits.conf',
    regexp: '^\\*\\s+-\\s+nofile\\s',
    line: '* - nofile 1048576',
  },
});
