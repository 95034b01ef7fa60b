import { z } from 'zod';
import { defineAction } from './define-action.ts';
import { AbsolutePath } from './fields.ts';

/** What is at a path, to be registered and asked by later tasks. */
export const stat = defineAction({
  kind: 'stat',
  version: 1,
  summary: 'what is at a path: kind, mode, owner, size, digest',
  input: z.strictObject({
    path: AbsolutePath,
    /** Of a symlink: what it leads to. */
    follow: z.boolean().default(false),
    /** Of a regular file; reads all of it. */
    sha256: z.boolean().default(false),
  }),
  output: z.object({
    path: z.string(),
    exists: z.boolean(),
    kind: z.enum(['file', 'directory', 'symlink', 'other']).optional(),
    mode: z.string().optional(),
    uid: z.int().optional(),
    gid: z.int().optional(),
    size: z.number().optional(),
    /** Epoch milliseconds. */
    mtime_ms: z.number().optional(),
    /** Of a symlink: what it says. */
    target: z.string().optional(),
    sha256: z.string().optional(),
  }),
  shorthand: (value) => (typeof value === 'string' ? { path: value } : undefined),
  changes: false,
  repeatable: true,
  undo: 'nothing',
  example: {
    path: '/etc/kubernetes/admin.conf',
    sha256: true,
  },
});
