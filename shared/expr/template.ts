import type { Expression, Statement, Template } from './ast.ts';
import { didYouMean, ExprError, type Origin } from './errors.ts';
import { lexCode } from './lexer.ts';
import { MAX_NESTING } from './limits.ts';
import { isVariableName, Parser } from './parser.ts';
import { cutTemplate, type Piece } from './pieces.ts';
import { Source } from './source.ts';

const TAGS = ['if', 'elif', 'else', 'endif', 'for', 'endfor', 'set', 'raw', 'endraw'];
const CLOSERS: Readonly<Record<'if' | 'for', string>> = { if: 'endif', for: 'endfor' };

/** Does a text need rendering? False for most values of a plan, which are then constants. */
export function isTemplate(text: string): boolean {
  return text.includes('{{') || text.includes('{%') || text.includes('{#');
}

/**
 * Parses a template. Block tags and comments take the newline after them and the blanks before them on their line
 * along; a `-` in a tag takes all whitespace on that side, a `+` none. The text's last newline stays.
 * Errors: EXPR_SYNTAX, EXPR_FILTER, EXPR_LIMIT.
 */
export function parseTemplate(text: string, origin: Origin): Template {
  const source = new Source(text, origin);
  return { type: 'template', body: parseBody(new Pieces(source, cutTemplate(source)), 0), origin };
}

/** Parses a bare expression, such as the condition of `when`. Errors: EXPR_SYNTAX, EXPR_FILTER, EXPR_LIMIT. */
export function parseExpression(text: string, origin: Origin): Expression {
  const source = new Source(text, origin);
  const marked = /^\s*\{[{%]/.exec(text);
  if (marked !== null) {
    const at = source.at(marked[0].length - 2);
    throw new ExprError('EXPR_SYNTAX', 'an expression stands here, not a template', at, 'write it without {{ }}');
  }
  const parser = new Parser(source, lexCode(source, 0, 0, undefined).tokens);
  const root = parser.expression();
  parser.expectEnd();
  return { type: 'expression', root, origin };
}

type Tag = { readonly word: string; readonly parser: Parser; readonly at: Origin };

/** The pieces of a template, read one after another. */
class Pieces {
  readonly source: Source;
  readonly #pieces: readonly Piece[];
  #next = 0;

  constructor(source: Source, pieces: readonly Piece[]) {
    this.source = source;
    this.#pieces = pieces;
  }

  /** The next statement that is only text or output, or the next tag; undefined at the end. */
  next(): Statement | Tag | undefined {
    const piece = this.#pieces[this.#next];
    if (piece === undefined) return undefined;
    this.#next += 1;
    const at = this.source.at(piece.offset);
    if (piece.type === 'text') return { type: 'text', text: piece.text, at };
    const parser = new Parser(this.source, piece.tokens);
    if (piece.type === 'tag') {
      const wordAt = parser.at;
      return { word: parser.expectName('a word such as if, for or set'), parser, at: wordAt };
    }
    const value = parser.expression();
    parser.expectEnd();
    return { type: 'output', value, at };
  }
}

/** Statements up to a tag that none of them opened; that tag is left in `ended`. */
function parseBody(pieces: Pieces, level: number, ended?: { tag?: Tag }): Statement[] {
  const body: Statement[] = [];
  for (let piece = pieces.next(); piece !== undefined; piece = pieces.next()) {
    if (!('word' in piece)) body.push(piece);
    else if (piece.word === 'set') body.push(parseSet(piece));
    else if (piece.word === 'if') body.push(parseIf(pieces, piece, level + 1));
    else if (piece.word === 'for') body.push(parseFor(pieces, piece, level + 1));
    else if (ended !== undefined) {
      ended.tag = piece;
      return body;
    } else throw strayTag(piece);
  }
  return body;
}

/** The statements inside a block and the tag that ends them, one of `ends`. */
function parseInner(
  pieces: Pieces,
  opened: Tag,
  ends: readonly string[],
  level: number,
): { readonly body: Statement[]; readonly end: Tag } {
  if (level > MAX_NESTING) {
    throw new ExprError('EXPR_LIMIT', `blocks are nested deeper than ${MAX_NESTING} levels`, opened.at);
  }
  const ended: { tag?: Tag } = {};
  const body = parseBody(pieces, level, ended);
  const end = ended.tag;
  if (end === undefined) {
    const closer = CLOSERS[opened.word as 'if' | 'for'];
    throw new ExprError('EXPR_SYNTAX', `"{% ${opened.word} %}" is never closed with "{% ${closer} %}"`, opened.at);
  }
  if (!ends.includes(end.word)) throw strayTag(end);
  return { body, end };
}

function parseIf(pieces: Pieces, opened: Tag, level: number): Statement {
  const branches: { test: ReturnType<Parser['expression']>; body: Statement[] }[] = [];
  let tag = opened;
  while (tag.word === 'if' || tag.word === 'elif') {
    const test = tag.parser.expression();
    tag.parser.expectEnd();
    const { body, end } = parseInner(pieces, opened, ['elif', 'else', 'endif'], level);
    branches.push({ test, body });
    tag = end;
  }
  const otherwise = parseElse(pieces, opened, tag, level);
  return { type: 'if', branches, otherwise, at: opened.at };
}

function parseFor(pieces: Pieces, opened: Tag, level: number): Statement {
  const { parser } = opened;
  const bracket = parser.accept('(');
  const targets = [parseTarget(parser)];
  while (parser.accept(',')) targets.push(parseTarget(parser));
  if (bracket) parser.expect(')');
  parser.expect('in');
  const iterable = parser.alternative();
  const filter = parser.accept('if') ? parser.expression() : undefined;
  parser.expectEnd();
  const { body, end } = parseInner(pieces, opened, ['else', 'endfor'], level);
  const otherwise = parseElse(pieces, opened, end, level);
  return { type: 'for', targets, iterable, filter, body, otherwise, at: opened.at };
}

/** The rest of a block from its `else`, if that is where we are, to its closing tag. */
function parseElse(pieces: Pieces, opened: Tag, tag: Tag, level: number): Statement[] {
  const closer = CLOSERS[opened.word as 'if' | 'for'];
  tag.parser.expectEnd();
  if (tag.word !== 'else') return [];
  const { body, end } = parseInner(pieces, opened, [closer], level);
  end.parser.expectEnd();
  return body;
}

function parseSet({ parser, at }: Tag): Statement {
  const name = parseTarget(parser);
  parser.expect('=');
  const value = parser.expression();
  parser.expectEnd();
  return { type: 'set', name, value, at };
}

function parseTarget(parser: Parser): string {
  const error = parser.unexpected('expected the name of a variable');
  const name = parser.expectName('the name of a variable');
  if (!isVariableName(name) || name === 'loop') throw error;
  return name;
}

function strayTag({ word, at }: Tag): ExprError {
  if (TAGS.includes(word)) return new ExprError('EXPR_SYNTAX', `"{% ${word} %}" has no place here`, at);
  const hint = didYouMean(word, TAGS) ?? 'known tags are if, for, set and raw';
  return new ExprError('EXPR_SYNTAX', `there is no tag "${word}"`, at, hint);
}
