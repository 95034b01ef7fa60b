/** Enter, then these two keys, mean something to us and not to the program. */
const MARK = 0x7e; // ~
const END = 0x2e; // .
const ENTER = new Set([0x0d, 0x0a]);

/**
 * Watches what is typed for `~.` at the beginning of a line, by which a person leaves a session that hangs; `~~` is a `~`.
 * A lone `~` is held back until the next key says what it was.
 */
export class EscapeKeys {
  #atStart = true;
  #marked = false;

  /** What is for the program; `end`: the person wants out, and nothing of what follows counts. */
  take(keys: Uint8Array): { data: Buffer; end: boolean } {
    const data: number[] = [];
    for (const key of keys) {
      if (this.#marked) {
        this.#marked = false;
        if (key === END) return { data: Buffer.from(data), end: true };
        if (key !== MARK) data.push(MARK);
        data.push(key);
        this.#atStart = ENTER.has(key);
      } else if (this.#atStart && key === MARK) {
        this.#marked = true;
      } else {
        data.push(key);
        this.#atStart = ENTER.has(key);
      }
    }
    return { data: Buffer.from(data), end: false };
  }
}
