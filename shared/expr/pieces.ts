import { ExprError } from './errors.ts';
import { lexCode, type Token } from './lexer.ts';
import type { Source } from './source.ts';

/** A template cut at its marks: plain text, or the tokens of an output `{{ }}` or of a tag `{% %}`. */
export type Piece =
  | { readonly type: 'text'; readonly text: string; readonly offset: number }
  | { readonly type: 'output' | 'tag'; readonly tokens: readonly Token[]; readonly offset: number };

/** What a mark takes from the text after it: nothing, the rest of an empty line, or all whitespace. */
type Takes = 'nothing' | 'newline' | 'all';

const OPENER = /\{[{%#]/g;
const RAW = /\{%[-+]?\s*raw\s*(-?)%\}/y;
const END_RAW = /\{%([-+]?)\s*endraw\s*([-+]?)%\}/g;

/** Cuts a template into pieces and applies whitespace control; comments vanish, raw blocks become text. */
export function cutTemplate(source: Source): Piece[] {
  const { text } = source;
  const pieces: Piece[] = [];
  let position = 0;
  let takes: Takes = 'nothing';
  const addText = (end: number, mark: string, before: Takes): void => {
    const start = position + taken(text, position, end, takes);
    let kept = text.slice(start, end);
    if (mark === '-') kept = kept.trimEnd();
    else if (before === 'newline' && mark !== '+') kept = withoutBlanks(kept, start === 0 || text[start - 1] === '\n');
    if (kept !== '') pieces.push({ type: 'text', text: kept, offset: start });
  };
  for (;;) {
    OPENER.lastIndex = position;
    const opener = OPENER.exec(text);
    if (opener === null) {
      addText(text.length, '', 'nothing');
      return pieces;
    }
    const offset = opener.index;
    const mark = text[offset + 2] ?? '';
    const inner = offset + (mark === '-' || mark === '+' ? 3 : 2);
    addText(offset, mark, opener[0] === '{{' ? 'nothing' : 'newline');
    if (opener[0] === '{#') {
      const end = text.indexOf('#}', offset + 2);
      if (end < 0) throw commentNeverClosed(source, offset);
      takes = takesAfter(text[end - 1] ?? '');
      position = end + 2;
      continue;
    }
    RAW.lastIndex = offset;
    const raw = RAW.exec(text);
    if (raw !== null) {
      END_RAW.lastIndex = offset + raw[0].length;
      const end = END_RAW.exec(text);
      if (end === null) {
        throw new ExprError('EXPR_SYNTAX', '"{% raw %}" is never closed with "{% endraw %}"', source.at(offset));
      }
      position = offset + raw[0].length;
      takes = raw[1] === '-' ? 'all' : 'nothing';
      addText(end.index, end[1] ?? '', 'newline');
      position = end.index + end[0].length;
      takes = takesAfter(end[2] ?? '');
      continue;
    }
    const output = opener[0] === '{{';
    const code = lexCode(source, inner, offset, output ? '}}' : '%}');
    pieces.push({ type: output ? 'output' : 'tag', tokens: code.tokens, offset });
    position = code.next;
    takes = output ? (code.mark === '-' ? 'all' : 'nothing') : takesAfter(code.mark);
  }
}

function takesAfter(mark: string): Takes {
  if (mark === '-') return 'all';
  return mark === '+' ? 'nothing' : 'newline';
}

/** How many characters from `start` a mark before them takes away. */
function taken(text: string, start: number, end: number, takes: Takes): number {
  if (takes === 'nothing') return 0;
  const kept = text.slice(start, end);
  if (takes === 'all') return kept.length - kept.trimStart().length;
  return /^\r?\n/.exec(kept)?.[0].length ?? 0;
}

/** Without the blanks at the end when only blanks precede them on their line. */
function withoutBlanks(text: string, startsLine: boolean): string {
  const line = text.lastIndexOf('\n') + 1;
  if (line === 0 && !startsLine) return text;
  return /^[ \t]*$/.test(text.slice(line)) ? text.slice(0, line) : text;
}

function commentNeverClosed(source: Source, offset: number): ExprError {
  const hint = source.text[offset - 1] === '$' ? 'put shell text between {% raw %} and {% endraw %}' : undefined;
  return new ExprError('EXPR_SYNTAX', '"{#" is never closed with "#}"', source.at(offset), hint);
}
