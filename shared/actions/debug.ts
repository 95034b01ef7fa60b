import { z } from 'zod';
import { defineAction } from './define-action.ts';

export const debug = defineAction({
  kind: 'debug',
  version: 1,
  summary: 'show a message or a value in the report',
  input: z.strictObject({ message: z.json() }),
  output: z.object({ message: z.json() }),
  shorthand: (value) => ({ message: value }),
  changes: false,
  repeatable: true,
  undo: 'nothing',
  example: { message: 'kernel {{ facts.kernel.release }}' },
});
