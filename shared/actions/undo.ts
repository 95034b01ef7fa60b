import { z } from 'zod';
import { defineAction } from './define-action.ts';

/** The step of a rollback: brings back what one step of an earlier run changed on this node (ENGINE 3.8). */
export const undo = defineAction({
  kind: 'undo',
  version: 1,
  summary: 'bring back what a task of an earlier run changed on this node',
  input: z.strictObject({
    run: z.string().min(1).max(200),
    /** The task's key in that run. */
    task: z.string().min(1).max(1000),
    /** Its own `rollback:` tasks have done it: what is remembered of it is only forgotten. */
    replaced: z.boolean().default(false),
  }),
  output: z.object({
    /** Resources that were brought back, in order. */
    restored: z.array(z.string()),
    /** What was left, and why. */
    left: z.array(z.string()),
  }),
  changes: true,
  repeatable: true,
  undo: 'nothing',
  internal: true,
  example: { run: '20250101-0badcafe', task: 'base/base/motd' },
});
