/** Takes the values of secrets out of what is shown. Pure. They are of plain ASCII; one that holds another stands before it. */
import type { Json } from '../../shared/share.ts';

/** Less than this of a value may be shown, where the output ends with it. Bytes. */
const SHOWN = 4;

/** Every value becomes as many asterisks: offsets into the text stay what they were. */
export function maskText(text: string, values: readonly string[]): string {
  return values.reduce((masked, value) => masked.replaceAll(value, '*'.repeat(value.length)), text);
}

/** The same in all texts of a value; keys are left. */
export function maskJson<T extends Json>(value: T, values: readonly string[]): T {
  if (values.length === 0) return value;
  const mask = (part: Json): Json => {
    if (typeof part === 'string') return maskText(part, values);
    if (Array.isArray(part)) return part.map(mask);
    if (typeof part !== 'object' || part === null) return part;
    return Object.fromEntries(Object.entries(part).map(([key, item]) => [key, mask(item)]));
  };
  return mask(value) as T;
}

/** One stream of live output: what may be the beginning of a value is held back until more of it comes. */
export class MaskedStream {
  readonly #values: () => readonly string[];
  readonly #send: (offset: number, data: Uint8Array) => void;
  #held: { offset: number; data: Buffer } | undefined;

  /** `values`: those known by now. */
  constructor(values: () => readonly string[], send: (offset: number, data: Uint8Array) => void) {
    this.#values = values;
    this.#send = send;
  }

  push(offset: number, data: Uint8Array): void {
    const values = this.#values();
    const before = this.#held;
    if (before === undefined && values.length === 0) {
      this.#send(offset, data);
      return;
    }
    const follows = before !== undefined && before.offset + before.data.length === offset;
    if (before !== undefined && !follows) this.flush();
    this.#held = undefined;
    const start = follows ? before.offset : offset;
    const all = follows ? Buffer.concat([before.data, data]) : Buffer.from(data);
    // One character for each byte, whatever they mean.
    const text = maskText(all.toString('latin1'), values);
    const end = text.length - Math.max(0, ...values.map((value) => begunAtEnd(text, value)));
    if (end < text.length) this.#held = { offset: start + end, data: all.subarray(end) };
    if (end > 0) this.#send(start, Buffer.from(text.slice(0, end), 'latin1'));
  }

  /** Nothing more comes. */
  flush(): void {
    const held = this.#held;
    this.#held = undefined;
    if (held === undefined) return;
    const { offset, data } = held;
    this.#send(offset, data.length < SHOWN ? data : Buffer.alloc(data.length, '*'));
  }
}

/** Characters at the end of the text that a value begins with. */
function begunAtEnd(text: string, value: string): number {
  for (let length = Math.min(value.length - 1, text.length); length > 0; length -= 1)
    if (text.endsWith(value.slice(0, length))) return length;
  return 0;
}
