import { Writable } from 'node:stream';

/** A control sequence, a line break, or text. */
const PIECE = /\n|\p{Cc}\[([?\d;]*)([A-Za-z])|\P{Cc}+/gu;

/** A terminal as the commands see one: `text` is what a person could scroll through, without colours. */
export class Screen extends Writable {
  readonly isTTY = true;
  readonly columns: number;
  readonly rows: number;
  /** The most lines that were drawn over at once. */
  highest = 0;
  readonly #lines: string[] = [''];
  #row = 0;
  #column = 0;
  #awaited: { pattern: RegExp; resolve: () => void } | undefined;

  constructor(columns = 100, rows = 24) {
    super({ decodeStrings: false });
    this.columns = columns;
    this.rows = rows;
  }

  get text(): string {
    return this.#lines
      .map((line) => line.trimEnd())
      .join('\n')
      .trimEnd();
  }

  /** Resolves once the text matches. */
  until(pattern: RegExp): Promise<void> {
    return new Promise((resolve) => {
      this.#awaited = { pattern, resolve };
      this.#look();
    });
  }

  #look(): void {
    if (this.#awaited?.pattern.test(this.text)) this.#awaited.resolve();
  }

  override _write(chunk: string | Buffer, _encoding: string, done: () => void): void {
    for (const piece of String(chunk).matchAll(PIECE)) {
      const [all, parameter = '', command] = piece;
      if (command !== undefined) this.#control(command, Number(parameter) || 1, parameter);
      else if (all === '\n') this.#newLine();
      else this.#put(all);
    }
    this.#look();
    done();
  }

  #control(command: string, amount: number, parameter: string): void {
    if (command === 'A') {
      this.#row = Math.max(0, this.#row - amount);
      this.highest = Math.max(this.highest, this.#lines.length - this.#row);
    } else if (command === 'B') this.#row = Math.min(this.#lines.length - 1, this.#row + amount);
    else if (command === 'G') this.#column = 0;
    else if (command === 'K') {
      const line = this.#lines[this.#row] ?? '';
      this.#lines[this.#row] = parameter === '2' ? '' : line.slice(0, this.#column);
    }
  }

  #newLine(): void {
    this.#row += 1;
    this.#column = 0;
    if (this.#row === this.#lines.length) this.#lines.push('');
  }

  #put(text: string): void {
    const line = (this.#lines[this.#row] ?? '').padEnd(this.#column);
    this.#lines[this.#row] = line.slice(0, this.#column) + text + line.slice(this.#column + text.length);
    this.#column += text.length;
  }
}

/** A pipe: no terminal, everything kept. */
export class Pipe extends Writable {
  readonly isTTY = false;
  text = '';

  override _write(chunk: string | Buffer, _encoding: string, done: () => void): void {
    this.text += String(chunk);
    done();
  }
}
