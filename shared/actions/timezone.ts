import { z } from 'zod';
import { defineAction } from './define-action.ts';

/** Where the node's clock is shown (localtime(5)). Programs that run already keep the one they started with. */
export const timezone = defineAction({
  kind: 'timezone',
  version: 1,
  summary: 'the time zone of the machine',
  input: z.strictObject({
    name: z
      .string()
      .max(100)
      .regex(/^[A-Za-z0-9_+-]+(?:\/[A-Za-z0-9_+-]+)*$/, 'not the name of a time zone, such as Europe/Berlin or UTC'),
  }),
  output: z.object({ name: z.string() }),
  shorthand: (value) => (typeof value === 'string' ? { name: value } : undefined),
  changes: true,
  repeatable: true,
  undo: 'restores',
  example: { name: 'Etc/UTC' },
});
