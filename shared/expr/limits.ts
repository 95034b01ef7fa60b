import { ExprError, type Origin } from './errors.ts';

/** How much one evaluation may do. */
export type Limits = {
  /** Units of work: one a visited AST node, list item or map entry, one for each 32 characters made. */
  readonly steps: number;
  /** Characters in any one string, the rendered text included. */
  readonly text: number;
  /** Numbers that one range() may give. */
  readonly range: number;
};

/** Room for a hosts file of 5,000 nodes (about 100,000 steps), well under a second of work. */
export const defaultLimits: Limits = { steps: 1_000_000, text: 4 * 1024 * 1024, range: 10_000 };

/** Characters of one template or expression. */
export const MAX_SOURCE = 1024 * 1024;
/** Levels of nested expressions, blocks and values; keeps every recursion of this room far from the stack's end. */
export const MAX_NESTING = 100;

/** Counts the work of one evaluation against its limits. */
export class Budget {
  readonly limits: Limits;
  #left: number;

  constructor(limits: Partial<Limits> = {}) {
    this.limits = { ...defaultLimits, ...limits };
    this.#left = this.limits.steps;
  }

  /** Takes `count` steps, before the work is done. */
  spend(count: number, at: Origin): void {
    this.#left -= count;
    if (this.#left < 0) {
      const message = `the expression needs more than ${this.limits.steps} steps`;
      throw new ExprError('EXPR_LIMIT', message, at, 'loop over fewer items or split the template');
    }
  }

  /** Allows a string of `length` characters to be made. */
  text(length: number, at: Origin): void {
    if (length > this.limits.text) {
      const message = `the text grows beyond ${this.limits.text} characters`;
      throw new ExprError('EXPR_LIMIT', message, at, 'ship large content as a file, not through a template');
    }
    this.spend(1 + Math.floor(length / 32), at);
  }

  /** Refuses a value that is nested deeper than any honest one. */
  depth(levels: number, at: Origin): void {
    if (levels > MAX_NESTING) {
      throw new ExprError('EXPR_LIMIT', `a value is nested deeper than ${MAX_NESTING} levels`, at);
    }
  }
}
