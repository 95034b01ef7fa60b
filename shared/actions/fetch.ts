import { z } from 'zod';
import { defineAction } from './define-action.ts';
import { AbsolutePath } from './fields.ts';

/** Files of the node, brought to the controller. Nothing on the node is changed. */
export const fetch = defineAction({
  kind: 'fetch',
  version: 1,
  summary: 'files of the node, brought to a folder of the controller',
  input: z.strictObject({
    /** A file, a directory with all the files in it, or a pattern: `/var/log/*.log`. Symlinks are not followed. */
    path: AbsolutePath,
    /** A folder on the machine of the controller; relative: below `fetched/` of its state folder. No template. */
    dest: z
      .string()
      .min(1)
      .max(4096)
      .refine((dest) => !dest.split('/').includes('..'), 'a folder may not hold ".."')
      // Making a folder there never comes back.
      .refine((dest) => !/^\/+(proc|sys)(\/|$)/.test(dest), 'not a folder of the kernel'),
    /** Below dest: `<node>/<path>` (`tree`); from what was asked for on, `<node>/<name>` (`node`) or `<name>` (`flat`). */
    layout: z.enum(['tree', 'node', 'flat']).default('tree'),
    /** Nothing there is fine. */
    missing_ok: z.boolean().default(false),
    /** Of all files together. No template. */
    max_bytes: z
      .int()
      .min(1)
      .default(1024 ** 3),
  }),
  output: z.object({
    path: z.string(),
    /** The first 100. */
    files: z.array(z.object({ path: z.string(), sha256: z.string(), bytes: z.number() })),
    count: z.int(),
    bytes: z.number(),
    /** Of `count`: those that the controller did not have like that. */
    brought: z.int(),
  }),
  changes: false,
  repeatable: true,
  undo: 'nothing',
  example: {
    path: '/var/log/kk/*.log',
    dest: '/srv/logs',
  },
});
