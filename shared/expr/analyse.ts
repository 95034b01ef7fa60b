import { argumentsOf, childrenOf, type Expr, type Expression, type Statement, type Template } from './ast.ts';
import type { Origin } from './errors.ts';
import { filters } from './filters/table.ts';
import { type Guard, guardsOf, isGuarded, staticPath } from './guards.ts';
import { tests } from './is-tests.ts';

/** One use of a variable that the template does not define itself. */
export type FreeVariable = {
  readonly name: string;
  /** The attributes asked of it as far as they are literal: `a.b[0].c` has ['b', '0', 'c'], `a.b[i].c` has ['b']. */
  readonly path: readonly string[];
  /** Where the name stands. */
  readonly origin: Origin;
  /** It may be undefined here: under `default` or a `defined` test, or where such a test has answered for it. */
  readonly defaulted: boolean;
};

/** What a walk knows where it is: variables bound by loops and `set`, and what is certain to be defined. */
type Place = { readonly bound: ReadonlySet<string>; readonly guards: readonly Guard[] };

/**
 * The free variables of a template or expression, one entry for each use, in reading order. Variables of `for` and
 * `set` are not free.
 */
export function analyse(ast: Template | Expression): { readonly free: readonly FreeVariable[] } {
  const free: FreeVariable[] = [];
  const place: Place = { bound: new Set(), guards: [] };
  if (ast.type === 'expression') visit(ast.root, place, false, free);
  else visitBody(ast.body, place, free);
  return { free };
}

function visitBody(body: readonly Statement[], start: Place, free: FreeVariable[]): ReadonlySet<string> {
  let place = start;
  const bind = (names: Iterable<string>): void => {
    place = { ...place, bound: new Set([...place.bound, ...names]) };
  };
  for (const statement of body) {
    switch (statement.type) {
      case 'text':
        break;
      case 'output':
        visit(statement.value, place, false, free);
        break;
      case 'set':
        visit(statement.value, place, false, free);
        bind([statement.name]);
        break;
      case 'if':
        bind(visitIf(statement, place, free));
        break;
      case 'for': {
        visit(statement.iterable, place, false, free);
        const inner = { ...place, bound: new Set([...place.bound, ...statement.targets]) };
        if (statement.filter !== undefined) visit(statement.filter, inner, false, free);
        const looped = { ...place, bound: new Set([...inner.bound, 'loop']) };
        const guards = statement.filter === undefined ? [] : guardsOf(statement.filter, true);
        visitBody(statement.body, { ...looped, guards: [...place.guards, ...guards] }, free);
        bind(visitBody(statement.otherwise, place, free));
        break;
      }
    }
  }
  return place.bound;
}

/** A variable set in any branch counts as bound afterwards. */
function visitIf(
  { branches, otherwise }: Extract<Statement, { type: 'if' }>,
  place: Place,
  free: FreeVariable[],
): Set<string> {
  const bound = new Set<string>();
  let { guards } = place;
  for (const { test, body } of branches) {
    visit(test, { ...place, guards }, false, free);
    const inside = { ...place, guards: [...guards, ...guardsOf(test, true)] };
    for (const name of visitBody(body, inside, free)) bound.add(name);
    guards = [...guards, ...guardsOf(test, false)];
  }
  for (const name of visitBody(otherwise, { ...place, guards }, free)) bound.add(name);
  return bound;
}

function visit(expr: Expr, place: Place, defaulted: boolean, free: FreeVariable[]): void {
  const all = (parts: readonly Expr[]): void => {
    for (const part of parts) visit(part, place, false, free);
  };
  switch (expr.type) {
    case 'name':
    case 'attribute':
    case 'item': {
      const found = staticPath(expr);
      if (found === undefined) visitObject(expr, place, defaulted, free);
      else if (!place.bound.has(found.name)) {
        const { name, path, at } = found;
        free.push({ name, path, origin: at, defaulted: defaulted || isGuarded(found, place.guards) });
      }
      visitKeys(expr, place, free);
      break;
    }
    case 'slice':
      visit(expr.object, place, defaulted, free);
      all([expr.from, expr.to, expr.step].filter((part) => part !== undefined));
      break;
    case 'method':
      visit(expr.object, place, defaulted, free);
      all(argumentsOf(expr.args));
      break;
    case 'node':
      visit(expr.selector, place, defaulted, free);
      break;
    case 'filter':
      visit(expr.input, place, passesThrough(expr) ? defaulted : isTolerant(expr), free);
      all(argumentsOf(expr.args));
      break;
    case 'test':
      visit(expr.input, place, isTolerant(expr), free);
      all(argumentsOf(expr.args));
      break;
    case 'choice':
      visit(expr.test, place, false, free);
      visit(expr.chosen, { ...place, guards: [...place.guards, ...guardsOf(expr.test, true)] }, defaulted, free);
      if (expr.otherwise !== undefined) {
        const guards = [...place.guards, ...guardsOf(expr.test, false)];
        visit(expr.otherwise, { ...place, guards }, defaulted, free);
      }
      break;
    case 'logic': {
      visit(expr.left, place, false, free);
      const guards = [...place.guards, ...guardsOf(expr.left, expr.op === 'and')];
      visit(expr.right, { ...place, guards }, false, free);
      break;
    }
    default:
      all(childrenOf(expr));
  }
}

/** Does undefined input give a result here? */
export function isTolerant(expr: Extract<Expr, { type: 'filter' | 'test' }>): boolean {
  if (expr.type === 'test') return tests.get(expr.name)?.absent !== undefined;
  return filters.get(expr.name)?.tolerant === true;
}

/** A filter that knows nothing of undefined hands it on, so a `default` further out still catches it. */
function passesThrough(expr: Extract<Expr, { type: 'filter' }>): boolean {
  return filters.get(expr.name)?.absent === undefined;
}

/** A chain of attributes that does not begin with a name, such as `(a or b).c`. */
function visitObject(expr: Expr, place: Place, defaulted: boolean, free: FreeVariable[]): void {
  let root = expr;
  while (root.type === 'attribute' || root.type === 'item') root = root.object;
  visit(root, place, defaulted, free);
}

/** The computed keys in a chain: `a[b].c[d]` uses b and d. */
function visitKeys(expr: Expr, place: Place, free: FreeVariable[]): void {
  const keys: Expr[] = [];
  for (let part = expr; part.type === 'attribute' || part.type === 'item'; part = part.object) {
    if (part.type === 'item') keys.unshift(part.key);
  }
  for (const key of keys) visit(key, place, false, free);
}
