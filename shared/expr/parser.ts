import { type CallArgs, type CompareOp, childrenOf, type Expr } from './ast.ts';
import { bindArgs } from './bind.ts';
import { didYouMean, ExprError, type Origin } from './errors.ts';
import { filters } from './filters/table.ts';
import { functions } from './functions.ts';
import { tests } from './is-tests.ts';
import type { Token } from './lexer.ts';
import { MAX_NESTING } from './limits.ts';
import { methods } from './methods.ts';
import type { Source } from './source.ts';

const CONSTANTS: ReadonlyMap<string, null | boolean> = new Map([
  ['true', true],
  ['True', true],
  ['false', false],
  ['False', false],
  ['none', null],
  ['None', null],
]);
const KEYWORDS: ReadonlySet<string> = new Set(['and', 'or', 'not', 'in', 'is', 'if', 'else']);
const COMPARISONS: ReadonlySet<string> = new Set(['==', '!=', '<', '<=', '>', '>=']);
/** A test's argument may stand without brackets (`is version '1.2'`) when it begins so. */
const BARE_ARGUMENT: ReadonlySet<string> = new Set(['[', '{']);

/** Can this word name a variable? */
export function isVariableName(word: string): boolean {
  return !KEYWORDS.has(word) && !CONSTANTS.has(word);
}

/**
 * Builds the AST of one expression after another from the tokens of one piece of code. The grammar and its order of
 * precedence are Jinja's: if-else, or, and, not, comparison, + -, ~, * / // %, **, unary sign, then filters and tests.
 */
export class Parser {
  readonly source: Source;
  readonly #tokens: readonly Token[];
  #next = 0;
  #level = 0;
  /** The height of each made expression: bounds every later walk, also of long chains such as 1+1+1... */
  readonly #heights = new WeakMap<Expr, number>();

  constructor(source: Source, tokens: readonly Token[]) {
    this.source = source;
    this.#tokens = tokens;
  }

  /** The token to be read next. */
  get token(): Token {
    return this.#tokens[this.#next] ?? (this.#tokens.at(-1) as Token);
  }

  get at(): Origin {
    return this.source.at(this.token.offset);
  }

  /** Reads the token if it is this operator or word. */
  accept(text: string): boolean {
    if (!this.#sees(text)) return false;
    this.#next += 1;
    return true;
  }

  expect(text: string): void {
    if (!this.accept(text)) throw this.unexpected(`expected "${text}"`);
  }

  /** Reads a word. */
  expectName(what: string): string {
    const { type, text } = this.token;
    if (type !== 'name') throw this.unexpected(`expected ${what}`);
    this.#next += 1;
    return text;
  }

  /** Nothing may follow. */
  expectEnd(): void {
    if (this.token.type !== 'end') throw this.unexpected('expected the end of the expression');
  }

  unexpected(wanted: string): ExprError {
    const { type, text } = this.token;
    const found = type === 'end' ? 'the end' : type === 'string' ? 'a string' : `"${text}"`;
    const hint = type === 'op' && text === '=' ? 'compare with ==' : undefined;
    return new ExprError('EXPR_SYNTAX', `${wanted}, found ${found}`, this.at, hint);
  }

  /** A whole expression, with inline if. */
  expression(): Expr {
    this.#level += 1;
    if (this.#level > MAX_NESTING) throw this.#tooDeep(this.at);
    let made = this.alternative();
    for (let at = this.at; this.accept('if'); at = this.at) {
      const test = this.alternative();
      const otherwise = this.accept('else') ? this.expression() : undefined;
      made = this.#made({ type: 'choice', test, chosen: made, otherwise, at });
    }
    this.#level -= 1;
    return made;
  }

  /** An expression without inline if: what `for .. in` loops over. */
  alternative(): Expr {
    let left = this.#conjunction();
    for (let at = this.at; this.accept('or'); at = this.at) {
      left = this.#made({ type: 'logic', op: 'or', left, right: this.#conjunction(), at });
    }
    return left;
  }

  #conjunction(): Expr {
    let left = this.#negation();
    for (let at = this.at; this.accept('and'); at = this.at) {
      left = this.#made({ type: 'logic', op: 'and', left, right: this.#negation(), at });
    }
    return left;
  }

  #negation(): Expr {
    const { at } = this;
    if (!this.accept('not')) return this.#comparison();
    return this.#nested(() => this.#made({ type: 'unary', op: 'not', operand: this.#negation(), at }));
  }

  #comparison(): Expr {
    const first = this.#sum();
    const rest: { op: CompareOp; value: Expr; at: Origin }[] = [];
    for (;;) {
      const { at } = this;
      const op = this.#comparisonOperator();
      if (op === undefined) break;
      rest.push({ op, value: this.#sum(), at });
    }
    return rest.length === 0 ? first : this.#made({ type: 'compare', first, rest, at: rest[0]?.at ?? first.at });
  }

  #comparisonOperator(): CompareOp | undefined {
    const { type, text } = this.token;
    if (type === 'op' && COMPARISONS.has(text)) {
      this.#next += 1;
      return text as CompareOp;
    }
    if (this.accept('in')) return 'in';
    const after = this.#tokens[this.#next + 1];
    if (!this.#sees('not') || after?.type !== 'name' || after.text !== 'in') return undefined;
    this.#next += 2;
    return 'not in';
  }

  #sum(): Expr {
    return this.#leftToRight(['+', '-'], () => this.#concatenation());
  }

  #concatenation(): Expr {
    const { at } = this;
    const parts = [this.#product()];
    while (this.accept('~')) parts.push(this.#product());
    return parts.length === 1 ? (parts[0] as Expr) : this.#made({ type: 'concat', parts, at });
  }

  #product(): Expr {
    return this.#leftToRight(['*', '/', '//', '%'], () => this.#leftToRight(['**'], () => this.#unary()));
  }

  #leftToRight(ops: readonly ('+' | '-' | '*' | '/' | '//' | '%' | '**')[], operand: () => Expr): Expr {
    let left = operand();
    for (;;) {
      const { at } = this;
      const op = ops.find((candidate) => this.accept(candidate));
      if (op === undefined) return left;
      left = this.#made({ type: 'binary', op, left, right: operand(), at });
    }
  }

  #unary(): Expr {
    return this.#filtersAndTests(this.#signed());
  }

  /** A signed value without its filters: `-1 | abs` is (-1) | abs. */
  #signed(): Expr {
    const { at } = this;
    const op = (['-', '+'] as const).find((sign) => this.accept(sign));
    if (op === undefined) return this.#postfix(this.#primary());
    return this.#nested(() => this.#made({ type: 'unary', op, operand: this.#signed(), at }));
  }

  #primary(): Expr {
    const { at } = this;
    const { type, text, number } = this.token;
    if (type === 'end' || (type === 'name' && KEYWORDS.has(text))) throw this.unexpected('expected a value');
    this.#next += 1;
    if (type === 'number') return this.#made({ type: 'literal', value: number, at });
    if (type === 'string') return this.#made({ type: 'literal', value: text, at });
    if (type === 'name') {
      const constant = CONSTANTS.get(text);
      if (constant !== undefined) return this.#made({ type: 'literal', value: constant, at });
      return this.#sees('(') ? this.#call(text, at) : this.#made({ type: 'name', name: text, at });
    }
    if (text === '[') return this.#made({ type: 'list', items: this.#items(']'), at });
    if (text === '{') return this.#map(at);
    if (text === '(') return this.#brackets(at);
    this.#next -= 1;
    throw this.unexpected('expected a value');
  }

  /** `(a)` is a; `(a,)`, `(a, b)` and `()` are lists, as tuples are nothing more here. */
  #brackets(at: Origin): Expr {
    if (this.accept(')')) return this.#made({ type: 'list', items: [], at });
    const first = this.expression();
    if (this.accept(')')) return first;
    this.expect(',');
    return this.#made({ type: 'list', items: [first, ...this.#items(')')], at });
  }

  #items(close: string): Expr[] {
    const items: Expr[] = [];
    while (!this.accept(close)) {
      items.push(this.expression());
      if (this.accept(close)) break;
      this.expect(',');
    }
    return items;
  }

  #map(at: Origin): Expr {
    const entries: { key: Expr; value: Expr }[] = [];
    while (!this.accept('}')) {
      const key = this.expression();
      this.expect(':');
      entries.push({ key, value: this.expression() });
      if (this.accept('}')) break;
      this.expect(',');
    }
    return this.#made({ type: 'map', entries, at });
  }

  /** `name(...)`: a function or `node(selector).register`. */
  #call(name: string, at: Origin): Expr {
    if (name === 'node') return this.#nodeRead(at);
    if (name === 'secret') return this.#secret(at);
    const known = functions.get(name);
    if (known === undefined) throw unknown('function', name, [...functions.keys(), 'node', 'secret'], at);
    return this.#made({ type: 'function', name, args: this.#arguments(name, known, at), at });
  }

  /** Its name stands there as it is: who may have which secret is known before anything runs. */
  #secret(at: Origin): Expr {
    this.expect('(');
    const { type, text } = this.token;
    if (type !== 'string') {
      throw new ExprError('EXPR_SYNTAX', 'secret(..) takes a name in quotes', at, "write secret('name')");
    }
    this.#next += 1;
    this.expect(')');
    return this.#made({ type: 'secret', name: text, at });
  }

  #nodeRead(at: Origin): Expr {
    this.expect('(');
    const selector = this.expression();
    this.expect(')');
    let register: string | undefined;
    if (this.accept('.')) register = this.expectName('the name of a register');
    else if (this.accept('[')) {
      const { type, text } = this.token;
      if (type === 'string') register = text;
      this.#next += 1;
      this.expect(']');
    }
    if (register === undefined) {
      throw new ExprError('EXPR_SYNTAX', 'node(..) needs the register to read', at, 'write node("name").register');
    }
    return this.#made({ type: 'node', selector, register, at });
  }

  #postfix(start: Expr): Expr {
    let made = start;
    for (;;) {
      const { at } = this;
      if (this.accept('.')) made = this.#member(made);
      else if (this.accept('[')) made = this.#subscript(made, at);
      else if (this.#sees('(')) throw this.unexpected('only functions and known methods can be called');
      else return made;
    }
  }

  #member(object: Expr): Expr {
    const { at } = this;
    const { type, text, number } = this.token;
    if (type === 'number') {
      this.#next += 1;
      return this.#made({ type: 'item', object, key: this.#made({ type: 'literal', value: number, at }), at });
    }
    if (type !== 'name') throw this.unexpected('expected an attribute');
    this.#next += 1;
    if (!this.#sees('(')) return this.#made({ type: 'attribute', object, name: text, at });
    const known = methods.get(text);
    if (known === undefined) throw unknown('method', text, methods.keys(), at);
    return this.#made({ type: 'method', name: text, object, args: this.#arguments(text, known, at), at });
  }

  #subscript(object: Expr, at: Origin): Expr {
    const bound = (): Expr | undefined => (this.#sees(':') || this.#sees(']') ? undefined : this.expression());
    const from = bound();
    if (!this.accept(':')) {
      if (from === undefined) throw this.unexpected('expected an index');
      this.expect(']');
      return this.#made({ type: 'item', object, key: from, at });
    }
    const to = bound();
    const step = this.accept(':') ? bound() : undefined;
    this.expect(']');
    return this.#made({ type: 'slice', object, from, to, step, at });
  }

  #filtersAndTests(start: Expr): Expr {
    let made = start;
    for (;;) {
      if (this.accept('|')) made = this.#filter(made);
      else if (this.accept('is')) made = this.#test(made);
      else return made;
    }
  }

  #filter(input: Expr): Expr {
    const { at } = this;
    const name = this.expectName('a filter');
    const known = filters.get(name);
    if (known === undefined) throw unknown('filter', name, filters.keys(), at);
    return this.#made({ type: 'filter', name, input, args: this.#arguments(name, known, at), at });
  }

  #test(input: Expr): Expr {
    const negated = this.accept('not');
    const { at } = this;
    const name = this.expectName('a test');
    const known = tests.get(name);
    if (known === undefined) throw unknown('test', name, tests.keys(), at);
    const { type, text } = this.token;
    const bare =
      type === 'string' ||
      type === 'number' ||
      (type === 'name' && !KEYWORDS.has(text)) ||
      (type === 'op' && BARE_ARGUMENT.has(text));
    const args = bare
      ? bindArgs(name, known, [this.#postfix(this.#primary())], [], at)
      : this.#arguments(name, known, at);
    return this.#made({ type: 'test', name, input, args, negated, at });
  }

  #arguments(name: string, known: Parameters<typeof bindArgs>[1], at: Origin): CallArgs {
    const positional: Expr[] = [];
    const named: { name: string; value: Expr; at: Origin }[] = [];
    if (this.accept('(')) {
      while (!this.accept(')')) {
        const here = this.at;
        const after = this.#tokens[this.#next + 1];
        if (this.token.type === 'name' && after?.type === 'op' && after.text === '=') {
          const key = this.token.text;
          this.#next += 2;
          named.push({ name: key, value: this.expression(), at: here });
        } else if (named.length > 0) {
          throw this.unexpected('an argument by position cannot follow one by name');
        } else positional.push(this.expression());
        if (this.accept(')')) break;
        this.expect(',');
      }
    }
    return bindArgs(name, known, positional, named, at);
  }

  #sees(text: string): boolean {
    const { type } = this.token;
    return (type === 'op' || type === 'name') && this.token.text === text;
  }

  #nested(make: () => Expr): Expr {
    this.#level += 1;
    if (this.#level > MAX_NESTING) throw this.#tooDeep(this.at);
    const made = make();
    this.#level -= 1;
    return made;
  }

  #made(expr: Expr): Expr {
    let height = 1;
    for (const child of childrenOf(expr)) height = Math.max(height, 1 + (this.#heights.get(child) ?? 1));
    if (height > MAX_NESTING) throw this.#tooDeep(expr.at);
    this.#heights.set(expr, height);
    return expr;
  }

  #tooDeep(at: Origin): ExprError {
    return new ExprError('EXPR_LIMIT', `the expression is nested deeper than ${MAX_NESTING} levels`, at, 'split it up');
  }
}

function unknown(what: string, name: string, candidates: Iterable<string>, at: Origin): ExprError {
  return new ExprError('EXPR_FILTER', `there is no ${what} "${name}"`, at, didYouMean(name, candidates));
}
