import type { Expression, Statement, Template } from './ast.ts';
import { ExprError, type Origin } from './errors.ts';
import { Evaluator } from './evaluator.ts';
import { Budget, type Limits } from './limits.ts';
import type { Scope } from './scope.ts';
import { isMap, ownKeys, truthy, typeName, type Value } from './value.ts';

/**
 * Renders a template. One that is exactly `{{ expression }}` gives the expression's own value (a number, a list, ...);
 * any other gives text. The result is never taken for a template again.
 * Errors: EXPR_UNDEFINED, EXPR_TYPE, EXPR_FILTER, EXPR_LIMIT.
 */
export function render(template: Template, scope: Scope, limits?: Partial<Limits>): Value {
  return renderWithin(template, scope, new Budget(limits));
}

/** Evaluates a bare expression; for a condition pass the value to `truthy`. Errors as `render`. */
export function evaluate(expression: Expression, scope: Scope, limits?: Partial<Limits>): Value {
  return new Evaluator(scope, new Budget(limits)).result(expression.root);
}

/** Renders on a budget that is shared with other templates. */
export function renderWithin(template: Template, scope: Scope, budget: Budget): Value {
  const evaluator = new Evaluator(scope, budget);
  const [only, ...others] = template.body;
  if (only?.type === 'output' && others.length === 0) return evaluator.result(only.value);
  const out = new Output(budget);
  run(template.body, evaluator, out);
  return out.text();
}

/** The rendered text so far. */
class Output {
  readonly #budget: Budget;
  readonly #chunks: string[] = [];
  #length = 0;

  constructor(budget: Budget) {
    this.#budget = budget;
  }

  add(text: string, at: Origin): void {
    this.#length += text.length;
    this.#budget.spend(1 + Math.floor(text.length / 32), at);
    if (this.#length > this.#budget.limits.text) this.#budget.text(this.#length, at);
    this.#chunks.push(text);
  }

  text(): string {
    return this.#chunks.join('');
  }
}

function run(body: readonly Statement[], evaluator: Evaluator, out: Output): void {
  for (const statement of body) {
    evaluator.budget.spend(1, statement.at);
    switch (statement.type) {
      case 'text':
        out.add(statement.text, statement.at);
        break;
      case 'output':
        out.add(evaluator.text(statement.value), statement.at);
        break;
      case 'set':
        evaluator.set(statement.name, evaluator.value(statement.value));
        break;
      case 'if': {
        const branch = statement.branches.find(({ test }) => truthy(evaluator.value(test)));
        run(branch?.body ?? statement.otherwise, evaluator, out);
        break;
      }
      case 'for':
        runFor(statement, evaluator, out);
        break;
    }
  }
}

function runFor(statement: Extract<Statement, { type: 'for' }>, evaluator: Evaluator, out: Output): void {
  const { iterable, filter, body, otherwise } = statement;
  let items = itemsOf(evaluator.value(iterable), iterable.at);
  evaluator.budget.spend(items.length, iterable.at);
  if (filter !== undefined) {
    items = items.filter((item) => {
      let kept = false;
      evaluator.inFrame(() => {
        bind(statement, item, evaluator);
        kept = truthy(evaluator.value(filter));
      });
      return kept;
    });
  }
  if (items.length === 0) run(otherwise, evaluator, out);
  const { length } = items;
  for (const [index, item] of items.entries()) {
    evaluator.inFrame(() => {
      bind(statement, item, evaluator);
      evaluator.set('loop', {
        index: index + 1,
        index0: index,
        first: index === 0,
        last: index === length - 1,
        length,
      });
      run(body, evaluator, out);
    });
  }
}

function bind({ targets, at }: Extract<Statement, { type: 'for' }>, item: Value, evaluator: Evaluator): void {
  const values = targets.length === 1 ? [item] : item;
  if (!Array.isArray(values) || values.length !== targets.length) {
    const message = `each item must be a list of ${targets.length} to be taken apart, this one is not`;
    throw new ExprError('EXPR_TYPE', message, at, 'loop over a map with .items()');
  }
  for (const [index, target] of targets.entries()) evaluator.set(target, values[index] as Value);
}

/** What a loop goes over: the items of a list or the keys of a map. A string is refused: it is nearly always a mistake. */
function itemsOf(value: Value, at: Origin): readonly Value[] {
  if (Array.isArray(value)) return value;
  if (isMap(value)) return ownKeys(value);
  throw new ExprError('EXPR_TYPE', `cannot loop over ${typeName(value)}`, at, 'give a list, or split the string');
}
