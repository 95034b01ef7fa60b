import type { ErrorReport, Position } from '../../shared/errors.ts';
import { didYouMean } from '../../shared/expr/errors.ts';

/** Everything that can be wrong with a plan. Stable: programs switch on these, people search for them. */
export type ProblemCode =
  | 'PLAN_YAML'
  | 'PLAN_FILE'
  | 'PLAN_CSV'
  | 'PLAN_RANGE'
  | 'PLAN_UNKNOWN_KEY'
  | 'PLAN_CONTRADICTION'
  | 'PLAN_TYPE'
  | 'PLAN_MISSING'
  | 'PLAN_UNKNOWN_GROUP'
  | 'PLAN_EMPTY_GROUP'
  | 'PLAN_DUPLICATE_ADDRESS'
  | 'PLAN_DUPLICATE_NAME'
  | 'PLAN_RESERVED_NAME'
  | 'PLAN_GROUP_CYCLE'
  | 'PLAN_INCLUDE_CYCLE'
  | 'PLAN_UNKNOWN_PLAYBOOK'
  | 'PLAN_UNKNOWN_PLAY'
  | 'PLAN_UNKNOWN_ROLE'
  | 'PLAN_UNKNOWN_ACTION'
  | 'PLAN_ACTION_INPUT'
  | 'PLAN_NOT_YET'
  | 'PLAN_NO_CLUSTER'
  | 'PLAN_COMPONENT'
  | 'PLAN_NOT_REPEATABLE'
  | 'PLAN_EXPRESSION'
  | 'PLAN_UNDEFINED_VARIABLE'
  | 'PLAN_NEED_UNKNOWN';

/** Gathers the problems of a plan, each once, so that a person sees all of them and not only the first. */
export class Problems {
  readonly #found = new Map<string, ErrorReport>();
  #hasGaps = false;

  add(code: ProblemCode, position: Position, message: string, remedy: string): void {
    const key = `${code}\n${position.file}\n${position.line}\n${position.column}\n${message}`;
    if (!this.#found.has(key)) this.#found.set(key, { code, message, remedy, position });
  }

  /** Some part could not be read, and with it names that others may refer to. */
  gap(): void {
    this.#hasGaps = true;
  }

  /** With gaps, an unknown name is told only where it looks like a slip: its definition may be in the gap. */
  get hasGaps(): boolean {
    return this.#hasGaps;
  }

  get count(): number {
    return this.#found.size;
  }

  /** By file, then line and column. */
  sorted(): ErrorReport[] {
    return [...this.#found.values()].sort(
      (a, b) => byPosition(a.position, b.position) || compare(a.message, b.message),
    );
  }
}

function byPosition(a: Position | undefined, b: Position | undefined): number {
  if (!a || !b) return Number(a !== undefined) - Number(b !== undefined);
  return compare(a.file, b.file) || a.line - b.line || a.column - b.column;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** A remedy for a name that is not there: what was probably meant, else what there is. */
export function suggest(word: string, known: Iterable<string>): string {
  const names = [...known];
  const guess = slipOf(word, names);
  if (guess) return guess;
  if (names.length === 0) return 'There is none of that kind.';
  const shown = names.slice(0, 20).join(', ');
  return `Use one of: ${shown}${names.length > 20 ? ', …' : ''}.`;
}

/** `Did you mean "x"?` when the word is close to one of the names. */
export function slipOf(word: string, known: Iterable<string>): string | undefined {
  const guess = didYouMean(word, known);
  return guess && `Did${guess.slice(3)}`;
}

const SECRET = /pass|secret|token|credential/i;

/** A value as a message shows it: short, and not at all where its key says that it is secret. */
export function show(value: unknown, key = ''): string {
  if (value === null || value === undefined) return 'nothing';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object') return 'a map';
  if (SECRET.test(key)) return typeof value === 'string' ? 'a text' : `a ${typeof value}`;
  const text = JSON.stringify(value);
  return text.length > 60 ? `${text.slice(0, 57)}…"` : text;
}
