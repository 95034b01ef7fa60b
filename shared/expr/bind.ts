import type { CallArgs, Expr } from './ast.ts';
import type { Args, Signature } from './callable.ts';
import { didYouMean, ExprError, type Origin } from './errors.ts';
import { filters } from './filters/table.ts';
import { tests } from './is-tests.ts';
import type { Value } from './value.ts';

/** Binds the arguments of a call to the parameters of what is called; whatever does not fit is EXPR_FILTER. */
export function bindArgs(
  name: string,
  signature: Signature,
  positional: readonly Expr[],
  named: readonly { readonly name: string; readonly value: Expr; readonly at: Origin }[],
  at: Origin,
): CallArgs {
  const { params, required = 0, rest = false, options = [] } = signature;
  const bound = new Map<string, Expr>();
  for (const [index, param] of params.entries()) {
    const value = positional[index];
    if (value !== undefined) bound.set(param, value);
  }
  const more = positional.slice(params.length);
  if (more.length > 0 && !rest) {
    throw new ExprError(
      'EXPR_FILTER',
      `"${name}" takes at most ${params.length} arguments`,
      at,
      usage(name, signature),
    );
  }
  for (const argument of named) {
    const known = [...params, ...options];
    if (!known.includes(argument.name)) {
      const hint = didYouMean(argument.name, known) ?? usage(name, signature);
      throw new ExprError('EXPR_FILTER', `"${name}" has no argument "${argument.name}"`, argument.at, hint);
    }
    if (bound.has(argument.name)) {
      throw new ExprError('EXPR_FILTER', `argument "${argument.name}" is given twice`, argument.at);
    }
    bound.set(argument.name, argument.value);
  }
  const missing = params.slice(0, required).find((param) => !bound.has(param));
  if (missing !== undefined) {
    throw new ExprError('EXPR_FILTER', `"${name}" needs its argument "${missing}"`, at, usage(name, signature));
  }
  checkReference(name, signature, bound);
  return { named: bound, rest: more };
}

/** Binds values that one filter passes on to another, as in map('replace', 'a', 'b'). */
export function bindValues(name: string, signature: Signature, values: readonly Value[], at: Origin): Args {
  const { params, required = 0, rest = false } = signature;
  if (values.length < required || (values.length > params.length && !rest)) {
    throw new ExprError('EXPR_FILTER', `"${name}" got ${values.length} arguments`, at, usage(name, signature));
  }
  return {
    get: (param) => (params.includes(param) ? values[params.indexOf(param)] : undefined),
    rest: values.slice(params.length),
  };
}

/** map('upper') and select('defined') name a filter or test, which must exist. */
function checkReference(name: string, { refers }: Signature, bound: ReadonlyMap<string, Expr>): void {
  const reference = refers === undefined ? undefined : bound.get(refers.param);
  if (refers === undefined || reference === undefined) return;
  const table: ReadonlyMap<string, unknown> = refers.to === 'filter' ? filters : tests;
  if (reference.type !== 'literal' || typeof reference.value !== 'string') {
    throw new ExprError('EXPR_FILTER', `"${name}" needs the ${refers.to}'s name as a quoted string`, reference.at);
  }
  if (!table.has(reference.value)) {
    const hint = didYouMean(reference.value, table.keys());
    throw new ExprError('EXPR_FILTER', `there is no ${refers.to} "${reference.value}"`, reference.at, hint);
  }
}

function usage(name: string, { params, required = 0, rest = false, options = [] }: Signature): string {
  const parts = params.map((param, index) => (index < required ? param : `${param}?`));
  if (rest) parts.push('...');
  return `usage: ${name}(${[...parts, ...options.map((option) => `${option}=?`)].join(', ')})`;
}
