import type { Expr } from './ast.ts';
import type { Origin } from './errors.ts';

/** A variable and its literal attributes, as `a.b` or `a['b']`. */
export type Guard = { readonly name: string; readonly path: readonly string[] };

/** The name a chain of attributes begins with and its literal attributes up to the first computed one. */
export function staticPath(expr: Expr): (Guard & { readonly at: Origin }) | undefined {
  const steps: (string | undefined)[] = [];
  let part = expr;
  while (part.type === 'attribute' || part.type === 'item') {
    steps.unshift(part.type === 'attribute' ? part.name : literalKey(part.key));
    part = part.object;
  }
  if (part.type !== 'name') return undefined;
  const computed = steps.indexOf(undefined);
  const path = (computed < 0 ? steps : steps.slice(0, computed)) as string[];
  return { name: part.name, path, at: part.at };
}

function literalKey(key: Expr): string | undefined {
  if (key.type !== 'literal') return undefined;
  return typeof key.value === 'string' || typeof key.value === 'number' ? String(key.value) : undefined;
}

/** What is certainly defined once a condition has turned out as `outcome`. */
export function guardsOf(test: Expr, outcome: boolean): readonly Guard[] {
  if (test.type === 'unary' && test.op === 'not') return guardsOf(test.operand, !outcome);
  if (test.type === 'logic' && (test.op === 'and') === outcome) {
    return [...guardsOf(test.left, outcome), ...guardsOf(test.right, outcome)];
  }
  if (test.type !== 'test' || (test.name !== 'defined' && test.name !== 'undefined')) return [];
  const provesDefined = (test.name === 'defined') !== test.negated;
  const path = provesDefined === outcome ? staticPath(test.input) : undefined;
  return path === undefined ? [] : [path];
}

/** Is a use covered by one of the guards: the same variable, one path leading to the other? */
export function isGuarded(use: Guard, guards: readonly Guard[]): boolean {
  return guards.some((guard) => {
    const shared = Math.min(guard.path.length, use.path.length);
    return guard.name === use.name && guard.path.slice(0, shared).every((step, index) => step === use.path[index]);
  });
}
