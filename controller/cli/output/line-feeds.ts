const CR = 0x0d;
const LF = 0x0a;
/** Vertical tab: to a terminal the same as a line feed (DEC VT100 and all that follow it), and no line discipline knows it. */
const VT = 0x0b;

/**
 * Node's raw mode leaves the kernel adding a carriage return to each line feed that is shown. Programs on a node that mean
 * "one line down, same column" would lose their column; so a line feed that has no carriage return before it is shown as a
 * vertical tab. Works in place, over chunks in order.
 */
export class LineFeeds {
  #afterReturn = false;

  mend(data: Uint8Array): void {
    for (let at = data.indexOf(LF); at !== -1; at = data.indexOf(LF, at + 1)) {
      const follows = at === 0 ? this.#afterReturn : data[at - 1] === CR;
      if (!follows) data[at] = VT;
    }
    if (data.length > 0) this.#afterReturn = data.at(-1) === CR;
  }
}
