import { z } from 'zod';
import { defineAction } from './define-action.ts';

const LABEL = '[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?';

/** The name of the machine, now and at every boot (hostname(5), hosts(5)). */
export const hostname = defineAction({
  kind: 'hostname',
  version: 1,
  summary: 'the name of the machine, now and at boot',
  input: z.strictObject({
    /** The kernel takes 64 characters; what Kubernetes takes as the name of a node is lower case. */
    name: z
      .string()
      .max(64)
      .regex(
        new RegExp(`^${LABEL}(?:\\.${LABEL})*$`),
        'not a host name: lower-case letters, digits and -, parts separated by dots',
      ),
    /** Sees to it that /etc/hosts has the name for the address of this node in the inventory. */
    hosts: z.boolean().default(false),
  }),
  output: z.object({
    name: z.string(),
    /** What the machine was called until now. */
    previous: z.string(),
  }),
  shorthand: (value) => (typeof value === 'string' ? { name: value } : undefined),
  changes: true,
  repeatable: true,
  undo: 'restores',
  example: { name: 'cp1', hosts: true },
});
