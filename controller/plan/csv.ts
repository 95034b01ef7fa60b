import type { Position } from '../../shared/errors.ts';
import type { Problems } from './problems.ts';

/** One field of a table. */
export interface Cell {
  text: string;
  /** Where its first character stands: behind the quote, if there is one. */
  at: Position;
}

/**
 * A table in CSV (RFC 4180) as rows of cells that know where they stand, which the libraries for it do not tell. Fields are
 * divided by commas, or by semicolons where the first row has these instead, as spreadsheets in half of Europe write them.
 * Empty lines and lines that begin with # are left out; blanks around a field that is not in quotes are, too.
 */
export function parseCsv(file: string, text: string, problems: Problems): Cell[][] {
  const rows: Cell[][] = [];
  const divider = dividerOf(text);
  const ends = new RegExp(`[${divider}\\n]`, 'g');
  let line = 1;
  let lineStart = 0;
  const place = (offset: number): Position => ({ file, line, column: offset - lineStart + 1 });
  for (let at = 0; at < text.length; ) {
    const row: Cell[] = [];
    const isLeftOut = /(?:#[^\n]*|[ \t]*)\r?(?:\n|$)/y;
    isLeftOut.lastIndex = at;
    if (isLeftOut.test(text)) at = isLeftOut.lastIndex;
    else {
      for (let isLast = false; !isLast; ) {
        const quoted = /[ \t]*"/y;
        quoted.lastIndex = at;
        if (quoted.test(text)) {
          const start = quoted.lastIndex;
          const where = place(start);
          const close = closingQuote(text, start);
          if (close < 0) {
            problems.add('PLAN_CSV', place(start - 1), 'The quote that begins here does not end.', 'Close it with ".');
            return rows;
          }
          const inner = text.slice(start, close);
          row.push({ text: inner.replaceAll('""', '"'), at: where });
          const breaks = inner.split('\n').length - 1;
          if (breaks > 0) lineStart = start + inner.lastIndexOf('\n') + 1;
          line += breaks;
          at = close + 1;
        }
        ends.lastIndex = at;
        const end = ends.exec(text)?.index ?? text.length;
        const bare = text.slice(at, end);
        const isQuoted = quoted.lastIndex > 0;
        if (!isQuoted) row.push({ text: bare.trim(), at: place(at + bare.length - bare.trimStart().length) });
        else if (bare.trim() !== '') {
          problems.add(
            'PLAN_CSV',
            place(at),
            'Something follows the closing quote.',
            'Write a quote in a text twice: "".',
          );
        }
        isLast = text[end] !== divider;
        at = end + 1;
      }
      rows.push(row);
    }
    // What was read ends with a line break, or is the end of the text.
    line += 1;
    lineStart = at;
  }
  return rows;
}

function dividerOf(text: string): ',' | ';' {
  const first = text.split('\n').find((line) => !/^(?:#|\s*$)/.test(line)) ?? '';
  return first.includes(';') && !first.includes(',') ? ';' : ',';
}

/** Where the quoted text that begins at `start` ends; a doubled quote belongs to it. -1: nowhere. */
function closingQuote(text: string, start: number): number {
  for (let at = text.indexOf('"', start); at >= 0; at = text.indexOf('"', at + 2)) if (text[at + 1] !== '"') return at;
  return -1;
}
