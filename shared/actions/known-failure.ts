import { z } from 'zod';

/** A regular expression; `^` and `$` are those of a line. */
const Pattern = z
  .string()
  .min(1)
  .max(1000)
  .refine((text) => {
    try {
      new RegExp(text, 'mu');
      return true;
    } catch {
      return false;
    }
  }, 'no regular expression of JavaScript');

/** A failure that somebody has met before: what a program says then, what it means, and what to do. */
export const KnownFailure = z.strictObject({
  match: Pattern,
  /** How the sentence that begins "The command failed:" ends. `$<name>` stands for what the group of that name has matched, if it has. */
  cause: z.string().min(1).max(1000),
  remedy: z.string().min(1).max(2000),
});
export type KnownFailure = z.infer<typeof KnownFailure>;

/** What is said of a failure that is known. */
export const Known = z.object({ cause: z.string(), remedy: z.string() });
export type Known = z.infer<typeof Known>;
