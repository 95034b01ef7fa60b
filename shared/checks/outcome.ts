import { z } from 'zod';

/**
 * pass: fine. warn: works, with a risk that is named. fail: the installation would not work. error: could not be found
 * out, which counts as fail (ENGINE 1.5).
 */
export const Outcome = z.enum(['pass', 'warn', 'fail', 'error']);
export type Outcome = z.infer<typeof Outcome>;

/** The judgement of one rule over one node. */
export const Verdict = z.object({
  /** The rule's name: `memory`, `etcd_disk`. */
  check: z.string(),
  outcome: Outcome,
  /** One sentence: what was found against what is wanted, with the numbers. */
  message: z.string(),
  /** What to do; empty for pass. */
  remedy: z.string(),
  /** The facts it was judged by, small; fio's own JSON for disk checks. */
  evidence: z.json(),
});
export type Verdict = z.infer<typeof Verdict>;

/** Does it hold the run up? */
export function stops(outcome: Outcome): boolean {
  return outcome === 'fail' || outcome === 'error';
}
