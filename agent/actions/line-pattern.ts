import { Script } from 'node:vm';
import { KkError } from '../../shared/errors.ts';
import { patternOf } from '../../shared/pattern.ts';
import type { Line } from './text-lines.ts';

/**
 * A backtracking engine needs exponential time for some patterns on some lines, and what is in the file may be a
 * stranger's. V8 ends a regular expression at work only for a script that has a timeout.
 */
const LIMIT_MS = 1000;
const SCRIPT = new Script('const regexp = new RegExp(source, flags); lines.map((line) => regexp.test(line))');

/** Which lines match, by their index. Throws REGEXP_TOO_SLOW. */
export function matching(pattern: string, lines: readonly Line[]): number[] {
  const compiled = patternOf(pattern);
  if (compiled === undefined) throw new Error(`the contract lets no invalid pattern through: ${pattern}`);
  const sandbox = { ...compiled, lines: lines.map(({ text }) => text) };
  let hits: boolean[];
  try {
    hits = SCRIPT.runInNewContext(sandbox, { timeout: LIMIT_MS });
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code !== 'ERR_SCRIPT_EXECUTION_TIMEOUT') throw thrown;
    throw new KkError({
      code: 'REGEXP_TOO_SLOW',
      message: `The regular expression ${pattern} was not through with ${lines.length} lines after ${LIMIT_MS / 1000} s.`,
      remedy: 'Write it without a repetition inside a repetition, such as (a+)+, and begin it with ^.',
      cause: thrown,
    });
  }
  return hits.flatMap((hit, index) => (hit ? [index] : []));
}

/** Where new lines come, see TEXT_FILE of the contract. */
export function placeIn(
  lines: readonly Line[],
  { insert_after, insert_before }: { insert_after?: string | undefined; insert_before?: string | undefined },
): number {
  if (insert_before === 'BOF') return 0;
  if (insert_before !== undefined) return matching(insert_before, lines).at(-1) ?? lines.length;
  if (insert_after === undefined || insert_after === 'EOF') return lines.length;
  const last = matching(insert_after, lines).at(-1);
  return last === undefined ? lines.length : last + 1;
}
