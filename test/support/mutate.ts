/** Frames as a broken or hostile peer may send them. Deterministic for a given `random`. */

type Random = () => number;

const NUMBERS = [0, 1, 2, 7, 63, 1_000, 65_535, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1, 2 ** 53 - 1];
const TEXTS = [
  '',
  'n1',
  'r0',
  '../../etc',
  '\u0000',
  '{{ 7 * 7 }}',
  'ok',
  '__proto__',
  'ü'.repeat(70),
  'x'.repeat(5_000),
];
/** Bytes that mean something in protobuf and JSON: tags, the longest number, quotes, brackets. */
const BYTES = [0, 1, 0x08, 0x0a, 0x12, 0x7f, 0x80, 0xff, 0x22, 0x5b, 0x7b, 0x7d];

const below = (random: Random, count: number): number => Math.floor(random() * count);
const oneOf = <T>(random: Random, all: readonly T[]): T => all[below(random, all.length)] as T;

/** A frame whose bytes were hurt on the way; `others` lend pieces. */
export function hurtFrame(frame: Uint8Array, others: readonly Uint8Array[], random: Random): Uint8Array {
  let bytes = Buffer.from(frame);
  for (let times = 1 + below(random, 3); times > 0; times -= 1) {
    const at = below(random, bytes.length + 1);
    const size = below(random, 12);
    switch (below(random, 7)) {
      case 0:
        if (bytes.length > 0) bytes[at % bytes.length] = (bytes[at % bytes.length] ?? 0) ^ (1 << below(random, 8));
        break;
      case 1:
        if (bytes.length > 0) bytes[at % bytes.length] = oneOf(random, BYTES);
        break;
      case 2:
        bytes = bytes.subarray(0, at);
        break;
      case 3:
        bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(Math.min(bytes.length, at + size))]);
        break;
      case 4:
        bytes = Buffer.concat([bytes.subarray(0, at), noise(size, random), bytes.subarray(at)]);
        break;
      case 5: {
        const other = Buffer.from(oneOf(random, others));
        bytes = Buffer.concat([bytes.subarray(0, at), other.subarray(below(random, other.length + 1))]);
        break;
      }
      default:
        bytes = Buffer.concat([bytes.subarray(0, at), Buffer.alloc(9, 0xff), bytes.subarray(at)]);
    }
  }
  return bytes;
}

export function noise(size: number, random: Random): Buffer {
  return Buffer.from(Array.from({ length: size }, () => below(random, 256)));
}

/** A copy of a message's value with one field, or one deep in its JSON documents, that is not as it should be. */
export function wrongValue(value: unknown, random: Random): unknown {
  if (typeof value === 'number') return random() < 0.3 ? value + oneOf(random, [-1, 1]) : oneOf(random, NUMBERS);
  if (typeof value === 'string') return random() < 0.2 ? value.slice(1) : oneOf(random, TEXTS);
  if (typeof value === 'boolean') return !value;
  if (value instanceof Uint8Array) return wrongDocument(value, random);
  if (Array.isArray(value)) {
    if (value.length === 0 || random() < 0.3) return random() < 0.5 ? [] : [...value, ...value, ...value];
    const at = below(random, value.length);
    return value.map((one, index) => (index === at ? wrongValue(one, random) : one));
  }
  if (value === null || typeof value !== 'object') return oneOf<unknown>(random, [0, '', [], {}]);
  const keys = Object.keys(value);
  if (keys.length === 0) return value;
  const key = oneOf(random, keys);
  return { ...value, [key]: wrongValue((value as Record<string, unknown>)[key], random) };
}

function wrongDocument(bytes: Uint8Array, random: Random): Uint8Array {
  if (random() < 0.2) return hurtFrame(bytes, [bytes], random);
  try {
    const document: unknown = JSON.parse(Buffer.from(bytes).toString());
    const luck = random();
    if (luck < 0.2) return Buffer.from(JSON.stringify(withoutOne(document, random)));
    // Another type than what is there.
    if (luck < 0.3) return Buffer.from(JSON.stringify(oneOf<unknown>(random, [null, 1, 'x', [], {}, [[[[]]]]])));
    return Buffer.from(JSON.stringify(wrongValue(document, random)));
  } catch {
    return noise(below(random, 40), random);
  }
}

function withoutOne(value: unknown, random: Random): unknown {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) return null;
  const keys = Object.keys(value);
  const gone = oneOf(random, keys);
  return Object.fromEntries(Object.entries(value).filter(([key]) => key !== gone));
}
