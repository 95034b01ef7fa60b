import { ExprError, type Origin } from './errors.ts';
import { MAX_SOURCE } from './limits.ts';

/**
 * A text and where its first character stands, so that an offset can be told as a place in the user's file.
 * Later lines are taken to be indented as far as the first character is: right for a file (column 1) and for a YAML
 * block scalar; the column is an approximation inside folded and quoted scalars of several lines.
 */
export class Source {
  readonly text: string;
  readonly origin: Origin;
  readonly #lineStarts: number[] = [0];

  constructor(text: string, origin: Origin) {
    this.text = text;
    this.origin = origin;
    if (text.length > MAX_SOURCE) {
      throw new ExprError('EXPR_LIMIT', `the text is longer than ${MAX_SOURCE} characters`, origin);
    }
    for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) this.#lineStarts.push(at + 1);
  }

  /** Where the character at `offset` stands in the file. */
  at(offset: number): Origin {
    let low = 0;
    let high = this.#lineStarts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((this.#lineStarts[middle] ?? 0) <= offset) low = middle;
      else high = middle - 1;
    }
    const column = this.origin.column + offset - (this.#lineStarts[low] ?? 0);
    return { file: this.origin.file, line: this.origin.line + low, column };
  }
}
