import { isTolerant } from './analyse.ts';
import { argumentsOf, childrenOf, type Expr, type Expression, type Statement, type Template } from './ast.ts';
import type { Origin } from './errors.ts';
import { filters } from './filters/table.ts';

/** One `node(selector).register` in a template or expression. */
export type NodeRead = {
  /** What stands in the brackets; evaluate it at compile time. */
  readonly selector: Expression;
  readonly register: string;
  readonly origin: Origin;
  /** Reading it may find nothing: it is under `default` or a `defined` test. */
  readonly defaulted: boolean;
  /**
   * Nowhere does the value reach the result bare: it passes `| quote` as the last thing that is done to it, or is only
   * decided upon. Followed through `set`, `for`, `join(map('quote'))`, `~` and `default`. What quotes stand around the
   * tag in the text is not looked at.
   */
  readonly quoted: boolean;
};

type Finding = { selector: Expression; register: string; origin: Origin; defaulted: boolean; quoted: boolean };

/** How a value is used: does it reach the result as it is, or each of its items; and is it quoted further out? */
type Use = { readonly direct: boolean; readonly items: boolean; readonly quoted: boolean; readonly defaulted: boolean };

const BARE: Use = { direct: true, items: false, quoted: false, defaulted: false };
/** Only looked at: conditions, tests and comparisons give true or false. */
const DECIDED: Use = { direct: false, items: false, quoted: true, defaulted: false };

/** The cross-node reads of a template or expression, in reading order. */
export function nodeReads(ast: Template | Expression): readonly NodeRead[] {
  const finder = new Finder();
  if (ast.type === 'expression') finder.visit(ast.root, BARE);
  else finder.visitBody(ast.body);
  return finder.found;
}

class Finder {
  readonly found: Finding[] = [];
  /** Reads whose unquoted value a variable holds. */
  readonly #held = new Map<string, Set<Finding>>();
  #holding: Set<Finding> | undefined;

  visitBody(body: readonly Statement[]): void {
    for (const statement of body) {
      switch (statement.type) {
        case 'text':
          break;
        case 'output':
          this.visit(statement.value, BARE);
          break;
        case 'set':
          this.#hold([statement.name], statement.value, { ...BARE, items: true });
          break;
        case 'if':
          for (const { test, body: inner } of statement.branches) {
            this.visit(test, DECIDED);
            this.visitBody(inner);
          }
          this.visitBody(statement.otherwise);
          break;
        case 'for':
          this.#hold(statement.targets, statement.iterable, { ...BARE, direct: false, items: true });
          if (statement.filter !== undefined) this.visit(statement.filter, DECIDED);
          this.visitBody(statement.body);
          this.visitBody(statement.otherwise);
          break;
      }
    }
  }

  /** Reads whose value goes into variables are judged where those are used. */
  #hold(names: readonly string[], value: Expr, use: Use): void {
    const holding = new Set<Finding>();
    this.#holding = holding;
    this.visit(value, use);
    this.#holding = undefined;
    for (const name of names) this.#held.set(name, new Set([...(this.#held.get(name) ?? []), ...holding]));
  }

  #judge(finding: Finding, use: Use): void {
    if (use.quoted) return;
    if (this.#holding === undefined) finding.quoted = false;
    else this.#holding.add(finding);
  }

  visit(expr: Expr, use: Use): void {
    const { defaulted } = use;
    const inner: Use = { ...use, direct: false, items: false, defaulted: false };
    switch (expr.type) {
      case 'node': {
        const selector: Expression = { type: 'expression', root: expr.selector, origin: expr.selector.at };
        const finding = { selector, register: expr.register, origin: expr.at, defaulted, quoted: true };
        this.found.push(finding);
        this.#judge(finding, use);
        this.visit(expr.selector, { ...DECIDED, defaulted });
        break;
      }
      case 'name':
        for (const finding of this.#held.get(expr.name) ?? []) this.#judge(finding, use);
        break;
      case 'attribute':
        this.visit(expr.object, { ...inner, defaulted });
        break;
      case 'item':
      case 'slice':
      case 'method': {
        const [object, ...others] = childrenOf(expr);
        if (object !== undefined) this.visit(object, { ...inner, defaulted });
        for (const other of others) this.visit(other, expr.type === 'method' ? inner : DECIDED);
        break;
      }
      case 'filter':
        this.#visitFilter(expr, use);
        break;
      case 'test':
        this.visit(expr.input, { ...DECIDED, defaulted: isTolerant(expr) });
        for (const argument of argumentsOf(expr.args)) this.visit(argument, DECIDED);
        break;
      case 'compare':
        for (const child of childrenOf(expr)) this.visit(child, DECIDED);
        break;
      case 'unary':
        this.visit(expr.operand, expr.op === 'not' ? DECIDED : inner);
        break;
      case 'choice':
        this.visit(expr.test, DECIDED);
        this.visit(expr.chosen, use);
        if (expr.otherwise !== undefined) this.visit(expr.otherwise, use);
        break;
      case 'logic':
      case 'concat':
        for (const child of childrenOf(expr)) this.visit(child, { ...use, defaulted: false });
        break;
      case 'binary': {
        const kept = expr.op === '+' ? use : inner;
        for (const child of childrenOf(expr)) this.visit(child, { ...kept, defaulted: false });
        break;
      }
      case 'list':
        for (const item of expr.items) this.visit(item, { ...inner, direct: use.items });
        break;
      default:
        for (const child of childrenOf(expr)) this.visit(child, inner);
    }
  }

  #visitFilter(expr: Extract<Expr, { type: 'filter' }>, use: Use): void {
    const { name, args } = expr;
    const tolerant = isTolerant(expr);
    const defaulted = tolerant || (filters.get(name)?.absent === undefined && use.defaulted);
    const others: Use = { ...use, direct: false, items: false, defaulted: false };
    if (name === 'quote') {
      this.visit(expr.input, { ...others, quoted: use.quoted || use.direct, defaulted });
    } else if (name === 'map' && appliesQuote(expr)) {
      this.visit(expr.input, { ...others, quoted: use.quoted || use.items, defaulted });
    } else if (name === 'join') {
      this.visit(expr.input, { ...others, items: use.direct, defaulted });
    } else {
      this.visit(expr.input, tolerant ? { ...use, defaulted } : { ...others, defaulted });
    }
    for (const argument of argumentsOf(args)) this.visit(argument, tolerant ? { ...use, defaulted: false } : others);
  }
}

function appliesQuote({ args }: Extract<Expr, { type: 'filter' }>): boolean {
  const filter = args.named.get('filter');
  return filter?.type === 'literal' && filter.value === 'quote';
}
