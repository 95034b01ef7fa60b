import { childrenOf, type Expr, type Expression, type Statement, type Template } from './ast.ts';
import type { Origin } from './errors.ts';

/** One `secret('name')` in a template or expression. */
export type SecretRead = { readonly name: string; readonly origin: Origin };

/** The secrets that a template or expression may ask for, one entry for each place, in reading order. */
export function secretReads(ast: Template | Expression): readonly SecretRead[] {
  const roots = ast.type === 'expression' ? [ast.root] : ast.body.flatMap(expressionsOf);
  return roots.flatMap(readsIn);
}

function readsIn(expr: Expr): SecretRead[] {
  return expr.type === 'secret' ? [{ name: expr.name, origin: expr.at }] : childrenOf(expr).flatMap(readsIn);
}

/** Every expression of a statement and of what is in it. */
function expressionsOf(statement: Statement): Expr[] {
  switch (statement.type) {
    case 'text':
      return [];
    case 'output':
    case 'set':
      return [statement.value];
    case 'if':
      return [
        ...statement.branches.flatMap(({ test, body }) => [test, ...body.flatMap(expressionsOf)]),
        ...statement.otherwise.flatMap(expressionsOf),
      ];
    case 'for':
      return [
        statement.iterable,
        ...(statement.filter === undefined ? [] : [statement.filter]),
        ...[...statement.body, ...statement.otherwise].flatMap(expressionsOf),
      ];
  }
}
