import type { CallArgs, Expr } from './ast.ts';
import { bindValues } from './bind.ts';
import type { Args, Call } from './callable.ts';
import { didYouMean, ExprError, type Origin } from './errors.ts';
import { filters } from './filters/table.ts';
import { functions } from './functions.ts';
import { tests } from './is-tests.ts';
import type { Budget } from './limits.ts';
import { methods } from './methods.ts';
import { compute, contains, order } from './operators.ts';
import type { Scope } from './scope.ts';
import {
  equal,
  isMap,
  listItem,
  makeMap,
  measure,
  ownEntry,
  ownKeys,
  toText,
  truthy,
  typeName,
  type Value,
} from './value.ts';

/** What an expression that names nothing gives: the error it becomes unless a default or `is defined` stands above. */
class Missing {
  readonly #message: string;
  readonly #at: Origin;
  readonly #hint: () => string | undefined;

  /** The hint is looked for only when the error is wanted: defaults are common, searching names is not cheap. */
  constructor(message: string, at: Origin, hint: () => string | undefined = () => undefined) {
    this.#message = message;
    this.#at = at;
    this.#hint = hint;
  }

  error(): ExprError {
    const hint = this.#hint() ?? 'define it, or give it a value with | default(..)';
    return new ExprError('EXPR_UNDEFINED', this.#message, this.#at, hint);
  }
}

/** Evaluates expressions by walking the AST, within a budget. Variables of loops and `set` lie in frames over the scope. */
export class Evaluator {
  readonly budget: Budget;
  readonly #scope: Scope;
  readonly #frames: Map<string, Value>[] = [new Map()];

  constructor(scope: Scope, budget: Budget) {
    this.#scope = scope;
    this.budget = budget;
  }

  /** Sets a variable in the innermost frame. */
  set(name: string, value: Value): void {
    this.#frames.at(-1)?.set(name, value);
  }

  /** Does work in a frame of its own, as the body of a loop is. */
  inFrame(work: () => void): void {
    this.#frames.push(new Map());
    work();
    this.#frames.pop();
  }

  /** The expression's value; undefined is EXPR_UNDEFINED. */
  value(expr: Expr): Value {
    const found = this.#lax(expr);
    if (found instanceof Missing) throw found.error();
    return found;
  }

  text(expr: Expr): string {
    return toText(this.value(expr), this.budget, expr.at);
  }

  /** Like `value`, but pays for the size of what was made, so that shared parts cannot blow up when written out. */
  result(expr: Expr): Value {
    const found = this.value(expr);
    measure(found, this.budget, expr.at);
    return found;
  }

  #lax(expr: Expr): Value | Missing {
    this.budget.spend(1, expr.at);
    switch (expr.type) {
      case 'literal':
        return expr.value;
      case 'name':
        return this.#variable(expr.name, expr.at);
      case 'attribute':
        return this.#through(expr.object, (object) => this.#entry(object, expr.name, expr));
      case 'item':
        return this.#through(expr.object, (object) => this.#entry(object, this.value(expr.key), expr));
      case 'slice':
        return this.#through(expr.object, (object) => this.#slice(object, expr));
      case 'list':
        return expr.items.map((item) => this.value(item));
      case 'map':
        return this.#map(expr);
      case 'unary':
        return this.#unary(expr);
      case 'binary':
        return compute(expr.op, this.value(expr.left), this.value(expr.right), this.budget, expr.at);
      case 'logic': {
        const left = this.value(expr.left);
        return truthy(left) === (expr.op === 'and') ? this.value(expr.right) : left;
      }
      case 'concat':
        return this.#concat(expr.parts, expr.at);
      case 'compare':
        return this.#compare(expr);
      case 'choice':
        if (truthy(this.value(expr.test))) return this.#lax(expr.chosen);
        if (expr.otherwise !== undefined) return this.#lax(expr.otherwise);
        return new Missing('the inline "if" is false and has no "else"', expr.at, () => 'add an else');
      case 'filter':
        return this.#filter(expr);
      case 'test':
        return this.#test(expr.name, this.#lax(expr.input), expr) !== expr.negated;
      case 'method':
        return this.#through(expr.object, (object) =>
          known(methods, expr.name, expr.at).apply(object, this.#args(expr.args), this.#call(expr.name, expr.at)),
        );
      case 'function':
        return known(functions, expr.name, expr.at).apply(null, this.#args(expr.args), this.#call(expr.name, expr.at));
      case 'node':
        return this.#through(expr.selector, (selector) => this.#node(selector, expr.register, expr.at));
      case 'secret':
        return (
          this.#scope.secret?.(expr.name) ??
          new Missing(`the secret "${expr.name}" is not there`, expr.at, () => undefined)
        );
    }
  }

  /** Goes on from a value; what is missing stays missing, so that `a.b.c | default(x)` needs no a. */
  #through(expr: Expr, next: (value: Value) => Value | Missing): Value | Missing {
    const value = this.#lax(expr);
    return value instanceof Missing ? value : next(value);
  }

  #variable(name: string, at: Origin): Value | Missing {
    for (let index = this.#frames.length - 1; index >= 0; index -= 1) {
      const local = this.#frames[index]?.get(name);
      if (local !== undefined) return local;
    }
    const found = this.#scope.lookup(name);
    if (found !== undefined) return found;
    const locals = this.#frames.flatMap((frame) => [...frame.keys()]);
    return new Missing(`"${name}" is not defined`, at, () =>
      didYouMean(name, [...locals, ...(this.#scope.names?.() ?? [])]),
    );
  }

  #entry(object: Value, key: Value, expr: Extract<Expr, { type: 'attribute' | 'item' }>): Value | Missing {
    const { object: of, at } = expr;
    // a computed key is a value, which an error must not show
    const literal = expr.type === 'attribute' || expr.key.type === 'literal';
    const shown = literal ? `"${String(key)}"` : 'such a key';
    if (isMap(object)) {
      if (typeof key !== 'string')
        throw new ExprError('EXPR_TYPE', `a key must be a string, not ${typeName(key)}`, at, 'quote it');
      const found = ownEntry(object, key);
      if (found !== undefined) return found;
      return new Missing(`${nameOf(of)} has no ${shown}`, at, () =>
        literal ? didYouMean(key, ownKeys(object)) : undefined,
      );
    }
    if (typeof key === 'number' && (Array.isArray(object) || typeof object === 'string')) {
      const list = typeof object === 'string' ? this.#characters(object, at) : object;
      const found = listItem(list, key);
      if (found !== undefined) return found;
      return new Missing(`${nameOf(of)} has ${list.length} items, none at ${key}`, at);
    }
    return new Missing(`${nameOf(of)} is ${typeName(object)}, it has no ${shown}`, at);
  }

  #characters(text: string, at: Origin): string[] {
    this.budget.spend(text.length, at);
    return Array.from(text);
  }

  #slice(object: Value, expr: Extract<Expr, { type: 'slice' }>): Value {
    const { at } = expr;
    const [from, to, stepped] = [expr.from, expr.to, expr.step].map((part) => {
      const value = part === undefined ? null : this.value(part);
      if (value !== null && !Number.isInteger(value)) {
        throw new ExprError('EXPR_TYPE', 'the bounds of a slice must be whole numbers', at);
      }
      return value as number | null;
    });
    const step = stepped ?? 1;
    if (step < 1) throw new ExprError('EXPR_TYPE', 'the step of a slice must be at least 1', at, 'use | reverse');
    if (typeof object !== 'string' && !Array.isArray(object)) {
      throw new ExprError('EXPR_TYPE', `${typeName(object)} cannot be sliced`, at);
    }
    const items = typeof object === 'string' ? this.#characters(object, at) : object;
    const part = items.slice(from ?? 0, to ?? undefined).filter((_item, index) => index % step === 0);
    this.budget.spend(part.length, at);
    return typeof object === 'string' ? part.join('') : part;
  }

  #map(expr: Extract<Expr, { type: 'map' }>): Value {
    const entries = expr.entries.map(({ key, value }): [string, Value] => {
      const name = this.value(key);
      if (typeof name !== 'string') {
        throw new ExprError('EXPR_TYPE', `a key must be a string, not ${typeName(name)}`, key.at, 'quote it');
      }
      return [name, this.value(value)];
    });
    return makeMap(entries, expr.at);
  }

  #unary(expr: Extract<Expr, { type: 'unary' }>): Value {
    const value = this.value(expr.operand);
    if (expr.op === 'not') return !truthy(value);
    if (typeof value === 'number') return expr.op === '-' ? -value : value;
    throw new ExprError('EXPR_TYPE', `"${expr.op}" cannot work on ${typeName(value)}`, expr.at);
  }

  #concat(parts: readonly Expr[], at: Origin): string {
    let made = '';
    for (const part of parts) {
      made += this.text(part);
      if (made.length > this.budget.limits.text) break;
    }
    this.budget.text(made.length, at);
    return made;
  }

  #compare(expr: Extract<Expr, { type: 'compare' }>): boolean {
    let left = this.value(expr.first);
    for (const { op, value, at } of expr.rest) {
      const right = this.value(value);
      if (!this.#holds(op, left, right, at)) return false;
      left = right;
    }
    return true;
  }

  #holds(op: Extract<Expr, { type: 'compare' }>['rest'][number]['op'], left: Value, right: Value, at: Origin): boolean {
    switch (op) {
      case '==':
        return equal(left, right, this.budget, at);
      case '!=':
        return !equal(left, right, this.budget, at);
      case 'in':
        return contains(right, left, this.budget, at);
      case 'not in':
        return !contains(right, left, this.budget, at);
      case '<':
        return order(left, right, this.budget, at) < 0;
      case '<=':
        return order(left, right, this.budget, at) <= 0;
      case '>':
        return order(left, right, this.budget, at) > 0;
      case '>=':
        return order(left, right, this.budget, at) >= 0;
    }
  }

  #filter(expr: Extract<Expr, { type: 'filter' }>): Value | Missing {
    const { name, at } = expr;
    const filter = known(filters, name, at);
    const args = this.#args(expr.args);
    const input = this.#lax(expr.input);
    const call = this.#call(name, at);
    if (input instanceof Missing) return filter.absent === undefined ? input : filter.absent(args, call);
    const made = filter.apply(input, args, call);
    if (made !== undefined) return made;
    return new Missing(`"${name}" gives nothing here: ${nameOf(expr.input)} is empty`, at);
  }

  #test(name: string, input: Value | Missing, expr: { readonly args: CallArgs; readonly at: Origin }): boolean {
    const test = known(tests, name, expr.at);
    if (!(input instanceof Missing)) return test.check(input, this.#args(expr.args), this.#call(name, expr.at));
    if (test.absent === undefined) throw input.error();
    return test.absent;
  }

  #node(selector: Value, register: string, at: Origin): Value | Missing {
    if (this.#scope.readNode === undefined) {
      throw new ExprError('EXPR_UNDEFINED', "another node's register cannot be read here", at);
    }
    const found = this.#scope.readNode(selector, register);
    if (found !== undefined) return found;
    return new Missing(`node(..) has no register "${register}" to give`, at);
  }

  #args(args: CallArgs): Args {
    return {
      get: (name) => {
        const expr = args.named.get(name);
        return expr === undefined ? undefined : this.value(expr);
      },
      rest: args.rest.map((expr) => this.value(expr)),
    };
  }

  #call(name: string, at: Origin): Call {
    const { budget } = this;
    return {
      name,
      at,
      budget,
      filter: (other, input, values) => {
        budget.spend(1, at);
        const filter = known(filters, other, at);
        const args = bindValues(other, filter, values, at);
        const call = this.#call(other, at);
        return input === undefined ? filter.absent?.(args, call) : filter.apply(input, args, call);
      },
      test: (other, input, values) => {
        budget.spend(1, at);
        const test = known(tests, other, at);
        const args = bindValues(other, test, values, at);
        if (input !== undefined) return test.check(input, args, this.#call(other, at));
        if (test.absent !== undefined) return test.absent;
        const hint = 'select those where it is defined first';
        throw new ExprError('EXPR_UNDEFINED', `${name}: an item has no such attribute`, at, hint);
      },
    };
  }
}

/** An entry of a table; the parser has let only known names pass. */
function known<T>(table: ReadonlyMap<string, T>, name: string, at: Origin): T {
  const found = table.get(name);
  if (found === undefined) throw new ExprError('EXPR_FILTER', `there is no "${name}"`, at);
  return found;
}

/** `"a.b"` for a path, else what kind of thing it is. */
function nameOf(expr: Expr): string {
  const path = pathOf(expr);
  return path === undefined ? 'the value' : `"${path}"`;
}

function pathOf(expr: Expr): string | undefined {
  if (expr.type === 'name') return expr.name;
  if (expr.type === 'node') return `node(..).${expr.register}`;
  if (expr.type === 'attribute') {
    const object = pathOf(expr.object);
    return object === undefined ? undefined : `${object}.${expr.name}`;
  }
  if (expr.type !== 'item') return undefined;
  const object = pathOf(expr.object);
  return object === undefined ? undefined : `${object}[..]`;
}
