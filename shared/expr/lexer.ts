import { ExprError } from './errors.ts';
import type { Source } from './source.ts';

export type TokenType = 'name' | 'number' | 'string' | 'op' | 'end';

/** A piece of code. `text` is the name, the operator or the string's decoded content. */
export type Token = {
  readonly type: TokenType;
  readonly text: string;
  readonly number: number;
  readonly offset: number;
};

/** The code between two tag marks: its tokens (the last is `end`), where it ends and how whitespace is treated there. */
export type Code = { readonly tokens: readonly Token[]; readonly next: number; readonly mark: '' | '-' | '+' };

const OPERATORS = ['**', '//', '==', '!=', '<=', '>=', ...'+-*/%~<>=.,:|()[]{}'];
const SPACE = /\s+/y;
const NAME = /[A-Za-z_][A-Za-z0-9_]*/y;
const DIGITS = /\d+/y;
const NUMBER = /0[xX][0-9a-fA-F]+|0[oO][0-7]+|0[bB][01]+|\d+(?:_\d+)*(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const CLOSING: Readonly<Record<string, string>> = { '(': ')', '[': ']', '{': '}' };

/**
 * Cuts code into tokens from `start` to the closing mark (`}}` or `%}`), or to the end of the text when there is
 * none. A mark inside brackets or a string does not close, so `{{ {'a': {}} }}` is whole.
 */
export function lexCode(source: Source, start: number, opened: number, closer: '}}' | '%}' | undefined): Code {
  const { text } = source;
  const tokens: Token[] = [];
  const brackets: { readonly open: string; readonly close: string; readonly offset: number }[] = [];
  let position = start;
  const push = (type: TokenType, content: string, length: number, number = 0): void => {
    tokens.push({ type, text: content, number, offset: position });
    position += length;
  };
  for (;;) {
    position += matchAt(SPACE, text, position).length;
    if (closer !== undefined && brackets.length === 0) {
      const sign = text[position];
      const mark = sign === '-' || sign === '+' ? sign : '';
      if (text.startsWith(closer, position + mark.length)) {
        const next = position + mark.length + closer.length;
        push('end', closer, 0);
        return { tokens, next, mark };
      }
    }
    const char = text[position];
    if (char === undefined) {
      const open = brackets.at(-1);
      if (open !== undefined) {
        throw new ExprError('EXPR_SYNTAX', `"${open.open}" is never closed`, source.at(open.offset));
      }
      if (closer !== undefined) throw neverClosed(source, opened, closer);
      push('end', '', 0);
      return { tokens, next: position, mark: '' };
    }
    const name = matchAt(NAME, text, position);
    if (name !== '') {
      push('name', name, name.length);
      continue;
    }
    if (char >= '0' && char <= '9') {
      // after a dot these are the digits of an index (`a.0.1`), not a fraction
      const digits = matchAt(tokens.at(-1)?.text === '.' ? DIGITS : NUMBER, text, position);
      push('number', digits, digits.length, numberOf(digits, source, position));
      continue;
    }
    if (char === '"' || char === "'") {
      const { content, length } = readString(source, position);
      push('string', content, length);
      continue;
    }
    const operator = OPERATORS.find((candidate) => text.startsWith(candidate, position));
    if (operator === undefined) {
      throw new ExprError('EXPR_SYNTAX', `unexpected character ${JSON.stringify(char)}`, source.at(position));
    }
    const close = CLOSING[operator];
    if (close !== undefined) brackets.push({ open: operator, close, offset: position });
    else if (operator === ')' || operator === ']' || operator === '}') {
      const open = brackets.pop();
      if (open !== undefined && open.close !== operator) {
        const message = `"${open.open}" is not closed before "${operator}"`;
        throw new ExprError('EXPR_SYNTAX', message, source.at(open.offset));
      }
      if (open === undefined) {
        throw new ExprError('EXPR_SYNTAX', `"${operator}" closes nothing`, source.at(position));
      }
    }
    push('op', operator, operator.length);
  }
}

function matchAt(pattern: RegExp, text: string, position: number): string {
  pattern.lastIndex = position;
  return pattern.exec(text)?.[0] ?? '';
}

function numberOf(digits: string, source: Source, position: number): number {
  const number = Number(digits.replaceAll('_', ''));
  if (!Number.isFinite(number) || (Number.isInteger(number) && !Number.isSafeInteger(number))) {
    throw new ExprError('EXPR_LIMIT', 'the number is too large', source.at(position), 'write it as a string');
  }
  return number;
}

/**
 * Reads a quoted string. Known escapes are decoded; any other backslash stays, so that regular expressions ('\d', '\b')
 * and their back references ('\1') can be written plainly.
 */
function readString(source: Source, start: number): { content: string; length: number } {
  const { text } = source;
  const quote = text[start];
  const parts: string[] = [];
  let position = start + 1;
  for (;;) {
    const char = text[position];
    if (char === undefined) throw new ExprError('EXPR_SYNTAX', 'the string is never closed', source.at(start));
    if (char === quote) return { content: parts.join(''), length: position + 1 - start };
    if (char !== '\\') {
      parts.push(char);
      position += 1;
      continue;
    }
    const { decoded, length } = readEscape(text, position);
    parts.push(decoded);
    position += length;
  }
}

const ESCAPES: ReadonlyMap<string, string> = new Map([
  ['n', '\n'],
  ['t', '\t'],
  ['r', '\r'],
  ['\\', '\\'],
  ["'", "'"],
  ['"', '"'],
]);
const HEX_ESCAPE = /\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4}))/y;

function readEscape(text: string, position: number): { decoded: string; length: number } {
  const simple = ESCAPES.get(text[position + 1] ?? '');
  if (simple !== undefined) return { decoded: simple, length: 2 };
  HEX_ESCAPE.lastIndex = position;
  const hex = HEX_ESCAPE.exec(text);
  if (hex === null) return { decoded: '\\', length: 1 };
  return { decoded: String.fromCharCode(Number.parseInt(hex[1] ?? hex[2] ?? '', 16)), length: hex[0].length };
}

function neverClosed(source: Source, opened: number, closer: string): ExprError {
  const opener = closer === '}}' ? '{{' : '{%';
  return new ExprError('EXPR_SYNTAX', `"${opener}" is never closed with "${closer}"`, source.at(opened));
}
