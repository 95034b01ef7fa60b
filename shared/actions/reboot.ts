import { z } from 'zod';
import { defineAction } from './define-action.ts';

/** Seconds that a node may take until it is back, where the task does not say. */
const BACK_SECONDS = 600;

/**
 * The node goes down and comes back; nothing else of the run is at work there meanwhile (`alone` is implied). The step ends
 * when the agent of the next boot has taken it up again, and `test` holds.
 */
export const reboot = defineAction({
  kind: 'reboot',
  version: 1,
  summary: 'restart the node, and wait until it is back',
  input: z.strictObject({
    /** Told to those who are logged in, and in the journal of the node. */
    reason: z
      .string()
      .max(200)
      .regex(/^[^\r\n\0]+$/, 'the reason is one line')
      .default('kk restarts this node'),
    /** Only when the distribution says that it is needed, or the kernel that runs has been replaced. */
    when_needed: z.boolean().default(false),
    /** A line of shell that must succeed before the node counts as back; tried until it does. Must not change the node. */
    test: z.string().min(1).max(10_000).optional(),
    /** How long the node may be away before the controller gives it up; and then, how long `test` may fail. */
    timeout_seconds: z.number().min(10).max(86_400).default(BACK_SECONDS),
  }),
  output: z.object({
    rebooted: z.boolean(),
    /** Why it was needed, or that it was not. */
    why: z.string(),
  }),
  shorthand: (value) => (value === null ? {} : typeof value === 'string' ? { reason: value } : undefined),
  changes: true,
  repeatable: true,
  undo: 'nothing',
  example: { reason: 'a new kernel', when_needed: true, test: 'systemctl is-active containerd' },
});

/** How long a node may be away for a reboot: as its inputs say, as far as that is known without the node. */
export function rebootSeconds(inputs: unknown): number {
  const stated = (inputs as { timeout_seconds?: unknown } | null)?.timeout_seconds;
  return typeof stated === 'number' ? stated : BACK_SECONDS;
}
