import { distance } from 'fastest-levenshtein';

/** A place in a file. Line and column are 1-based, the column counts UTF-16 units. */
export type Origin = { readonly file: string; readonly line: number; readonly column: number };

/**
 * What can be wrong with an expression:
 * - EXPR_SYNTAX: the text is not a template or expression;
 * - EXPR_FILTER: unknown filter, test, function or method, wrong arguments, or input it cannot work on;
 * - EXPR_UNDEFINED: a variable or attribute that does not exist was used;
 * - EXPR_TYPE: a value of the wrong type;
 * - EXPR_LIMIT: too much work, output, nesting or range.
 */
export type ExprCode = 'EXPR_SYNTAX' | 'EXPR_UNDEFINED' | 'EXPR_TYPE' | 'EXPR_LIMIT' | 'EXPR_FILTER';

/**
 * The only error this room throws. `message` and `hint` name variables, types and limits, never a value, because a
 * value may be secret.
 */
export class ExprError extends Error {
  readonly code: ExprCode;
  readonly origin: Origin;
  /** What to do about it, when there is something to say. */
  readonly hint?: string;

  constructor(code: ExprCode, message: string, origin: Origin, hint?: string) {
    super(message);
    this.name = 'ExprError';
    this.code = code;
    this.origin = origin;
    if (hint !== undefined) this.hint = hint;
  }

  /** `file:line:column: message (hint)`, for a terminal. */
  describe(): string {
    const { file, line, column } = this.origin;
    const hint = this.hint === undefined ? '' : ` (${this.hint})`;
    return `${file}:${line}:${column}: ${this.message}${hint}`;
  }
}

/** More candidates than this are not searched: a hint is not worth the time. */
const CANDIDATES = 5000;

/** `did you mean "x"?` for the candidate nearest to `word`, or undefined when none is near. */
export function didYouMean(word: string, candidates: Iterable<string>): string | undefined {
  const best = nearest(word, candidates);
  return best === undefined ? undefined : `did you mean "${best}"?`;
}

/** The one that was probably meant. */
export function nearest(word: string, candidates: Iterable<string>): string | undefined {
  if (word.length > 64) return undefined;
  const wanted = word.toLowerCase();
  const tolerated = Math.max(1, Math.floor(word.length / 3));
  let best: string | undefined;
  let bestDistance = Number.POSITIVE_INFINITY;
  let seen = 0;
  for (const candidate of candidates) {
    seen += 1;
    if (seen > CANDIDATES) break;
    if (candidate === word || Math.abs(candidate.length - word.length) > tolerated) continue;
    const other = candidate.toLowerCase();
    const found = distance(wanted, other);
    const near = found <= tolerated || (found === 2 && lettersOf(wanted) === lettersOf(other));
    if (near && found < bestDistance) {
      best = candidate;
      bestDistance = found;
    }
  }
  return best;
}

/** The letters in order of the alphabet: two swapped letters are one slip of the finger, though two edits. */
function lettersOf(word: string): string {
  return Array.from(word).sort().join('');
}
