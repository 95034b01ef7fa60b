/** Names or addresses that one text may stand for: a fleet has its limits, and a slip of the finger (`[1:1e9]`) too. */
export const MOST_IN_RANGE = 10_000;

/** `[1:100]`, `[001:100]`, `[a:f]`, `[0:20:5]`: first, last (which is part of it), and the step, 1 unless stated. */
const RANGE = /\[(?:(\d+):(\d+)|([a-z]):([a-z]))(?::(\d+))?\]/g;

/** May the text stand for several? */
export function hasRange(text: string): boolean {
  return text.includes('[');
}

/**
 * Every text that a text with ranges stands for, in order; of several ranges the last one advances first. Leading zeros of
 * the first number are kept for all: [08:10] is 08, 09, 10. `wrong`: why it is none, as the end of a sentence.
 */
export function expandRanges(text: string): string[] | { wrong: string } {
  let all = [''];
  let at = 0;
  for (const found of text.matchAll(RANGE)) {
    const values = valuesOf(found);
    if ('wrong' in values) return { wrong: `${values.wrong} in ${found[0]}` };
    if (all.length * values.length > MOST_IN_RANGE) return { wrong: `it stands for more than ${MOST_IN_RANGE}` };
    const before = text.slice(at, found.index);
    all = all.flatMap((head) => values.map((value) => `${head}${before}${value}`));
    at = found.index + found[0].length;
  }
  const rest = text.slice(at);
  if (/[[\]]/.test(rest) || all.some((one) => one.includes('['))) return { wrong: 'a bracket in it is no range' };
  return all.map((head) => `${head}${rest}`);
}

function valuesOf([, low, high, first, last, stated]: RegExpExecArray): string[] | { wrong: string } {
  const step = Number(stated ?? 1);
  if (step < 1) return { wrong: 'the step is 0' };
  const [from, to] =
    low === undefined ? [first?.charCodeAt(0) ?? 0, last?.charCodeAt(0) ?? 0] : [Number(low), Number(high)];
  if (from > to) return { wrong: 'the first comes after the last' };
  const count = Math.floor((to - from) / step) + 1;
  if (!(count <= MOST_IN_RANGE)) return { wrong: `there are more than ${MOST_IN_RANGE}` };
  const width = low?.startsWith('0') ? low.length : 0;
  return Array.from({ length: count }, (_, i) => {
    const value = from + i * step;
    return low === undefined ? String.fromCharCode(value) : String(value).padStart(width, '0');
  });
}
