import { z } from 'zod';
import { defineAction } from './define-action.ts';

const Mode = z.enum(['enforcing', 'permissive', 'disabled']);

/** SELinux, now and at the next boot (selinux(8), /etc/selinux/config). A machine without it has nothing to do. */
export const selinux = defineAction({
  kind: 'selinux',
  version: 1,
  summary: 'SELinux enforcing, permissive or disabled, now and at boot; nothing where there is none',
  input: z.strictObject({
    /** disabled: permissive now, off from the next boot on; the kernel cannot do it while it runs. */
    mode: Mode,
  }),
  output: z.object({
    /** Of the running kernel; absent: this machine has no SELinux. */
    now: Mode.optional(),
    /** At the next boot. */
    boot: Mode.optional(),
    /** What is wanted holds only after a reboot. */
    reboot: z.boolean(),
  }),
  shorthand: (value) => (typeof value === 'string' ? { mode: value } : undefined),
  changes: true,
  repeatable: true,
  undo: 'restores',
  example: { mode: 'permissive' },
});
