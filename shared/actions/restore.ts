import { z } from 'zod';
import { defineAction } from './define-action.ts';

const Role = z
  .string()
  .max(200)
  .regex(
    /^[A-Za-z0-9][A-Za-z0-9._-]*(?:\/[A-Za-z0-9][A-Za-z0-9._-]*)*$/,
    'not the name of a role, such as os or cni/bridge',
  );

/**
 * What roles changed on this node, in whatever runs, as it was before they first did. What somebody else has changed since is
 * left alone and named; it can be asked for again once that is mended. Applying the roles again makes their changes again.
 */
export const restore = defineAction({
  kind: 'restore',
  version: 1,
  summary: 'what roles changed on this node in earlier runs, as it was before them',
  input: z.strictObject({
    /** Names of roles as plays use them: `os`, `cni/bridge`. */
    roles: z.array(Role).min(1).max(100),
  }),
  output: z.object({
    /** Resources that were brought back, in order. */
    restored: z.array(z.string()),
    /** What was left, and why. */
    left: z.array(z.string()),
  }),
  shorthand: (value) =>
    typeof value === 'string' ? { roles: [value] } : Array.isArray(value) ? { roles: value } : undefined,
  changes: true,
  repeatable: true,
  undo: 'cannot',
  example: { roles: ['os'] },
});
