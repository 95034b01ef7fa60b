import { type ExprCode, ExprError, type Origin } from './errors.ts';
import type { Budget } from './limits.ts';
import { isMap, toText, typeName, type Value, type ValueMap } from './value.ts';

/** How a filter, test, function or method may be called. */
export interface Signature {
  /** One sentence for the reference. */
  readonly about: string;
  /** Arguments that may be given by position or by name, in order. */
  readonly params: readonly string[];
  /** How many of `params` must be given; 0 when left out. */
  readonly required?: number;
  /** May more positional arguments follow? */
  readonly rest?: boolean;
  /** Arguments that can only be given by name. */
  readonly options?: readonly string[];
  /** A parameter that names another filter or test; it must be a literal, so that a wrong name is found early. */
  readonly refers?: { readonly param: string; readonly to: 'filter' | 'test' };
}

/** Arguments of a call. A named one is evaluated when it is asked for. */
export interface Args {
  get(name: string): Value | undefined;
  readonly rest: readonly Value[];
}

/** What a filter or test may use while it works: the budget, its place for errors, and other filters and tests. */
export interface Call {
  readonly name: string;
  readonly at: Origin;
  readonly budget: Budget;
  filter(name: string, input: Value | undefined, args: readonly Value[]): Value | undefined;
  test(name: string, input: Value | undefined, args: readonly Value[]): boolean;
}

/** Turns a value into another. Giving undefined means that there is no result: an error unless defaulted. */
export interface Filter extends Signature {
  apply(input: Value, args: Args, call: Call): Value | undefined;
  /** Called instead of `apply` when the input is undefined; without it the result is undefined too. */
  absent?(args: Args, call: Call): Value;
  /** Undefined input is expected: names under this filter count as defaulted. */
  readonly tolerant?: boolean;
}

/** Answers a question about a value, after `is`. */
export interface Test extends Signature {
  check(input: Value, args: Args, call: Call): boolean;
  /** The answer for undefined input; without it that is EXPR_UNDEFINED. */
  readonly absent?: boolean;
}

/** A function or a method; a method's `self` has the type its table says. */
export interface Callable extends Signature {
  apply(self: Value, args: Args, call: Call): Value;
}

/** Fails with the call's place and name in front. */
export function fail(call: Call, code: ExprCode, message: string, hint?: string): never {
  throw new ExprError(code, `${call.name}: ${message}`, call.at, hint);
}

/** A list, or EXPR_TYPE. */
export function wantList(value: Value | undefined, call: Call): Value[] {
  if (!Array.isArray(value)) fail(call, 'EXPR_TYPE', `expected a list, got ${typeName(value)}`);
  call.budget.spend(value.length, call.at);
  return value;
}

/** A map, or EXPR_TYPE. */
export function wantMap(value: Value | undefined, call: Call): ValueMap {
  if (!isMap(value)) fail(call, 'EXPR_TYPE', `expected a map, got ${typeName(value)}`);
  call.budget.spend(Object.keys(value).length, call.at);
  return value;
}

/** A string, or a number or boolean as text; else EXPR_TYPE. */
export function wantText(value: Value | undefined, call: Call): string {
  if (typeof value !== 'string' && typeof value !== 'number' && typeof value !== 'boolean') {
    fail(call, 'EXPR_TYPE', `expected a string, got ${typeName(value)}`);
  }
  const text = toText(value, call.budget, call.at);
  call.budget.spend(1 + Math.floor(text.length / 32), call.at);
  return text;
}

/** A number, or EXPR_TYPE. */
export function wantNumber(value: Value | undefined, call: Call): number {
  if (typeof value !== 'number') fail(call, 'EXPR_TYPE', `expected a number, got ${typeName(value)}`);
  return value;
}

/** A whole number from 0 to `most`, or EXPR_TYPE. */
export function wantCount(value: Value | undefined, most: number, call: Call): number {
  const number = wantNumber(value, call);
  if (!Number.isInteger(number) || number < 0 || number > most) {
    fail(call, 'EXPR_TYPE', `expected a whole number from 0 to ${most}`);
  }
  return number;
}

/** Lets a made text pass when it is within the limits. */
export function madeText(text: string, call: Call): string {
  call.budget.text(text.length, call.at);
  return text;
}
