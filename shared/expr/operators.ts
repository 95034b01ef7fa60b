import type { BinaryOp } from './ast.ts';
import { ExprError, type Origin } from './errors.ts';
import type { Budget } from './limits.ts';
import { equal, isMap, ownEntry, typeName, type Value } from './value.ts';

/** Computes `left op right`. Types are never converted: that is what the filters int, float and string are for. */
export function compute(op: BinaryOp, left: Value, right: Value, budget: Budget, at: Origin): Value {
  if (op === '+') {
    if (typeof left === 'string' && typeof right === 'string') {
      budget.text(left.length + right.length, at);
      return left + right;
    }
    if (Array.isArray(left) && Array.isArray(right)) {
      budget.spend(left.length + right.length, at);
      return [...left, ...right];
    }
  }
  if (op === '*' && typeof right === 'number' && (typeof left === 'string' || Array.isArray(left))) {
    return repeat(left, right, budget, at);
  }
  if (typeof left !== 'number' || typeof right !== 'number') {
    const scalars = [left, right].every((side) => typeof side === 'string' || typeof side === 'number');
    const hint = op === '+' && scalars ? 'join text with ~, or convert with | int' : undefined;
    throw new ExprError('EXPR_TYPE', `"${op}" cannot work on ${typeName(left)} and ${typeName(right)}`, at, hint);
  }
  const result = arithmetic(op, left, right, at);
  if (!Number.isFinite(result)) throw new ExprError('EXPR_LIMIT', `the result of "${op}" is not a finite number`, at);
  return result;
}

function arithmetic(op: BinaryOp, left: number, right: number, at: Origin): number {
  if (right === 0 && (op === '/' || op === '//' || op === '%')) {
    throw new ExprError('EXPR_TYPE', 'division by zero', at);
  }
  switch (op) {
    case '+':
      return left + right;
    case '-':
      return left - right;
    case '*':
      return left * right;
    case '/':
      return left / right;
    case '//':
      return Math.floor(left / right);
    case '%':
      // as in Python the result has the sign of the divisor
      return ((left % right) + right) % right;
    case '**':
      return left ** right;
  }
}

function repeat(what: string | Value[], times: number, budget: Budget, at: Origin): Value {
  if (!Number.isInteger(times)) throw new ExprError('EXPR_TYPE', '"*" needs a whole number to repeat by', at);
  const count = Math.max(0, times);
  if (typeof what === 'string') {
    budget.text(what.length * count, at);
    return what.repeat(what === '' ? 0 : count);
  }
  budget.spend(what.length * count, at);
  return what.length === 0 ? [] : Array.from({ length: count }, () => what).flat();
}

/** Orders two numbers, strings or booleans: negative, 0 or positive. Anything else, or a mixture, is EXPR_TYPE. */
export function order(left: Value, right: Value, budget: Budget, at: Origin): number {
  budget.spend(1, at);
  const comparable =
    (typeof left === 'number' && typeof right === 'number') ||
    (typeof left === 'string' && typeof right === 'string') ||
    (typeof left === 'boolean' && typeof right === 'boolean');
  if (comparable) return left < right ? -1 : left > right ? 1 : 0;
  const hint = typeof left === 'string' || typeof right === 'string' ? 'convert with | int or | float' : undefined;
  throw new ExprError('EXPR_TYPE', `${typeName(left)} and ${typeName(right)} have no order`, at, hint);
}

/** `item in container`: an item of a list, a key of a map, a part of a string. */
export function contains(container: Value, item: Value, budget: Budget, at: Origin): boolean {
  if (Array.isArray(container)) {
    if (typeof item === 'object' && item !== null) return container.some((other) => equal(other, item, budget, at));
    budget.spend(1 + Math.floor(container.length / 32), at);
    return container.includes(item);
  }
  if (isMap(container)) return typeof item === 'string' && ownEntry(container, item) !== undefined;
  if (typeof container === 'string' && typeof item === 'string') {
    budget.spend(1 + Math.floor(container.length / 32), at);
    return container.includes(item);
  }
  throw new ExprError('EXPR_TYPE', `${typeName(item)} cannot be "in" ${typeName(container)}`, at);
}
