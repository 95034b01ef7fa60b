import { z } from 'zod';
import { aroundProgram, ProgramEnd, TERMINAL_MISFIT, terminalFits } from './command.ts';
import { defineAction } from './define-action.ts';
import { given, Word } from './fields.ts';

/** The last part of a file's name, without its folders and its role (`kubernetes/init:reset.sh`). */
export function fileName(source: string): string {
  return source.slice(Math.max(source.lastIndexOf('/'), source.lastIndexOf(':')) + 1);
}

/** A script that is shipped to the node, run there as a command is, and taken away again. */
export const script = defineAction({
  kind: 'script',
  version: 2,
  summary: "run a script of the role's files, or one written in place",
  input: z
    .strictObject({
      /** A path below the role's files/, taken as it is; `role:path`: below those of another role. */
      source: z.string().min(1).optional(),
      /** The script itself. */
      content: z.string().min(1).optional(),
      /**
       * More files of the role's files/, which lie beside the script while it runs: a shell script reads what others have in common
       * with it by `. "${0%/*}/common.sh"`.
       */
      beside: z.array(z.string().min(1)).min(1).max(20).optional(),
      args: z.array(Word).max(1000).optional(),
      /** Program and arguments before the script. Unstated: what its first line says after #!, else /bin/sh. */
      interpreter: z.union([z.string().min(1), z.tuple([Word], Word)]).optional(),
      ...aroundProgram,
    })
    .refine((input) => given(input, ['source', 'content']).length === 1, 'give exactly one of source and content')
    .refine(
      ({ source = 'script', beside = [] }) => new Set([source, ...beside].map(fileName)).size === beside.length + 1,
      'give each file in beside a name of its own, other than the script',
    )
    .refine(terminalFits, TERMINAL_MISFIT),
  output: ProgramEnd,
  shorthand: (value) => (typeof value === 'string' ? { source: value } : undefined),
  changes: true,
  repeatable: (input) => input.creates !== undefined || input.unless !== undefined,
  undo: 'cannot',
  example: { source: 'tune-disks.sh', args: ['--fast'], creates: '/var/lib/disks-tuned' },
});
