import { type Args, type Call, type Filter, fail, wantList, wantMap, wantNumber, wantText } from '../callable.ts';
import { isMap, makeMap, ownEntry, ownKeys, toText, truthy, typeName, type Value, type ValueMap } from '../value.ts';

const TRUE_WORDS: ReadonlySet<string> = new Set(['true', 'yes', 'on', 'y', 't', '1']);
const FALSE_WORDS: ReadonlySet<string> = new Set(['false', 'no', 'off', 'n', 'f', '0', '']);

const defaultFilter: Filter = {
  about:
    'The value, or the given one (empty text when none is given) if it is undefined; with boolean=true also if it is false.',
  params: ['value', 'boolean'],
  tolerant: true,
  apply: (input, args) => (truthy(args.get('boolean') ?? false) && !truthy(input) ? fallback(args) : input),
  absent: (args) => fallback(args),
};

/** Filters about undefined values, types, numbers and maps. */
export const generalFilters: Readonly<Record<string, Filter>> = {
  default: defaultFilter,
  d: defaultFilter,
  mandatory: {
    about: 'The value itself; if it is undefined the given message is the error.',
    params: ['message'],
    apply: (input) => input,
    absent(args, call) {
      const message = args.get('message') ?? 'a mandatory value is not defined';
      return fail(call, 'EXPR_UNDEFINED', toText(message, call.budget, call.at));
    },
  },
  ternary: {
    about: 'One of two values: the first if the input is true; a third one, when given, if it is none.',
    params: ['yes', 'no', 'none'],
    required: 2,
    apply(input, args) {
      const forNone = args.get('none');
      if (input === null && forNone !== undefined) return forNone;
      return args.get(truthy(input) ? 'yes' : 'no');
    },
  },
  bool: {
    about:
      'True for true, 1 and the words yes, on, true, y, t; false for false, 0, none and their opposites or empty text.',
    params: [],
    apply(input, _args, call) {
      if (typeof input === 'boolean') return input;
      if (input === null) return false;
      const word = wantText(input, call).trim().toLowerCase();
      if (TRUE_WORDS.has(word)) return true;
      if (FALSE_WORDS.has(word)) return false;
      return fail(call, 'EXPR_FILTER', 'the text is neither a yes nor a no', 'use a comparison such as x == "name"');
    },
  },
  int: {
    about: 'A whole number, cut towards zero; the default (an error without one) if it is not a number. base: 2 to 36.',
    params: ['default', 'base'],
    apply(input, args, call) {
      const base = args.get('base') ?? 10;
      const made = wholeNumber(input, typeof base === 'number' ? base : 10);
      return made ?? numberFallback(input, args, call);
    },
  },
  float: {
    about: 'A number; the default (an error without one) if it is not a number.',
    params: ['default'],
    apply: (input, args, call) => decimal(input) ?? numberFallback(input, args, call),
  },
  abs: { about: 'Without its sign.', params: [], apply: (input, _args, call) => Math.abs(wantNumber(input, call)) },
  round: {
    about: 'Rounded to precision decimal places (0); method is common (half away from zero), ceil or floor.',
    params: ['precision', 'method'],
    apply(input, args, call) {
      const places = wantNumber(args.get('precision') ?? 0, call);
      const factor = 10 ** Math.max(-15, Math.min(15, places));
      const number = wantNumber(input, call) * factor;
      const method = args.get('method') ?? 'common';
      if (method === 'ceil') return Math.ceil(number) / factor;
      if (method === 'floor') return Math.floor(number) / factor;
      if (method === 'common') return (Math.sign(number) * Math.round(Math.abs(number))) / factor;
      return fail(call, 'EXPR_FILTER', 'method must be "common", "ceil" or "floor"');
    },
  },
  dict: {
    about:
      'A list of [key, value], as items() of a map gives it, as a map; of a key that is there twice the last counts.',
    params: [],
    apply(input, _args, call) {
      const pairs = wantList(input, call).map((pair) => {
        const [key, value, ...more] = wantList(pair, call);
        if (value === undefined || more.length > 0) return fail(call, 'EXPR_TYPE', 'expected lists of [key, value]');
        return [wantText(key, call), value] as const;
      });
      return makeMap(pairs, call.at);
    },
  },
  combine: {
    about: 'Maps laid over each other, later ones win; with recursive=true also the maps inside. Lists are replaced.',
    params: [],
    rest: true,
    options: ['recursive'],
    apply(input, args, call) {
      const recursive = truthy(args.get('recursive') ?? false);
      let made = wantMap(input, call);
      for (const other of args.rest.flatMap((more) => (Array.isArray(more) ? more : [more]))) {
        made = combine(made, wantMap(other, call), recursive, call, 0);
      }
      return made;
    },
  },
};

/** What default gives; none is a value like any other. */
function fallback(args: Args): Value {
  const given = args.get('value');
  return given === undefined ? '' : given;
}

function wholeNumber(input: Value, base: number): number | undefined {
  if (typeof input === 'boolean') return input ? 1 : 0;
  if (typeof input === 'number') return Math.trunc(input);
  if (typeof input !== 'string') return undefined;
  const text = input.trim().replaceAll('_', '');
  if (base === 10) {
    const number = decimal(text);
    return number === undefined ? undefined : Math.trunc(number);
  }
  const digits = /^[+-]?(?:0[xob])?([0-9a-z]+)$/i.exec(text)?.[1]?.toLowerCase();
  const known = digits !== undefined && [...digits].every((digit) => Number.parseInt(digit, 36) < base);
  if (!known || !(base >= 2 && base <= 36)) return undefined;
  return Number.parseInt(digits, base) * (text.startsWith('-') ? -1 : 1);
}

function decimal(input: Value): number | undefined {
  if (typeof input === 'number') return input;
  if (typeof input === 'boolean') return input ? 1 : 0;
  if (typeof input !== 'string' || !/^\s*[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?\s*$/i.test(input)) return undefined;
  const number = Number(input);
  return Number.isFinite(number) ? number : undefined;
}

function numberFallback(input: Value, args: Args, call: Call): Value {
  const given = args.get('default');
  if (given !== undefined) return given;
  const what = typeof input === 'string' ? 'this text' : typeName(input);
  return fail(call, 'EXPR_FILTER', `${what} is not a number`, `give a default: ${call.name}(0)`);
}

function combine(under: ValueMap, over: ValueMap, recursive: boolean, call: Call, depth: number): ValueMap {
  call.budget.depth(depth, call.at);
  const made = new Map<string, Value>();
  for (const key of ownKeys(under)) made.set(key, under[key] as Value);
  for (const key of ownKeys(over)) {
    const below = ownEntry(under, key);
    const value = over[key] as Value;
    const both = recursive && below !== undefined && isMap(below) && isMap(value);
    made.set(key, both ? combine(below, value, true, call, depth + 1) : value);
  }
  call.budget.spend(made.size, call.at);
  return makeMap([...made], call.at);
}
