import { z } from 'zod';
import { defineAction } from './define-action.ts';

const ParamValue = z.union([
  z
    .string()
    .max(1000)
    .regex(/^[^\s"'#\\]+$/, 'the value of a parameter holds no blanks and no quotes'),
  z.int(),
  z.boolean(),
]);

/** The kernel writes - and _ in names of modules alike; /proc/modules has the latter. */
export function moduleName(name: string): string {
  return name.replaceAll('-', '_');
}

/**
 * A module of the kernel, now and at every boot: modules-load.d(5), modprobe.d(5). One that is built into the kernel is
 * present.
 */
export const kernelModule = defineAction({
  kind: 'kernel_module',
  version: 1,
  summary: 'a kernel module that is loaded, now and at boot; or is not',
  input: z
    .strictObject({
      name: z
        .string()
        .max(100)
        .regex(/^[A-Za-z0-9][A-Za-z0-9_-]*$/, 'not the name of a kernel module'),
      /** Given when it is loaded. One that was loaded with others is an error: they cannot be changed then. */
      params: z.record(z.string().regex(/^[A-Za-z0-9_]+$/, 'not the name of a parameter'), ParamValue).optional(),
      /** absent: unloaded, without what it needs itself. Nothing keeps others from loading it again. */
      state: z.enum(['present', 'absent']).default('present'),
      /** See to kk-<name>.conf in /etc/modules-load.d and, for the parameters, in /etc/modprobe.d. */
      persist: z.boolean().default(true),
      /** One that this kernel does not have, or that may not be loaded here (a container), is passed over; `state` tells. */
      ignore_missing: z.boolean().default(false),
    })
    .refine((input) => input.state === 'present' || input.params === undefined, 'params belong to state: present'),
  output: z.object({ name: z.string(), state: z.enum(['loaded', 'built-in', 'absent']) }),
  shorthand: (value) => (typeof value === 'string' ? { name: value } : undefined),
  changes: true,
  repeatable: true,
  undo: 'restores',
  example: { name: 'br_netfilter' },
});
