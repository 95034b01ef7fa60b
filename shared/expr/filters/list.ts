import { type Args, type Call, type Filter, fail, wantCount, wantList, wantText } from '../callable.ts';
import { order } from '../operators.ts';
import { identityOf, isMap, makeMap, ownKeys, truthy, type Value, valueAt } from '../value.ts';
import { attributePath, attributesOf } from './attribute.ts';

/** Filters over lists. None changes its input; sorting and comparing are exact (case counts). */
export const listFilters: Readonly<Record<string, Filter>> = {
  list: {
    about: 'A list: of the keys of a map, of the characters of a string; a list stays as it is.',
    params: [],
    apply(input, _args, call) {
      if (typeof input === 'string') return wantList(Array.from(input), call);
      return isMap(input) ? wantList(ownKeys(input), call) : wantList(input, call);
    },
  },
  length: {
    about: 'How many items, entries or characters.',
    params: [],
    apply(input, _args, call) {
      if (typeof input === 'string') return Array.from(wantText(input, call)).length;
      return isMap(input) ? ownKeys(input).length : wantList(input, call).length;
    },
  },
  first: {
    about: 'The first item; undefined when there is none.',
    params: [],
    apply: (input, _args, call) => itemsOf(input, call)[0],
  },
  last: {
    about: 'The last item; undefined when there is none.',
    params: [],
    apply: (input, _args, call) => itemsOf(input, call).at(-1),
  },
  min: {
    about: 'The smallest item, or the item whose attribute is smallest; undefined when there is none.',
    params: ['attribute'],
    apply: (input, args, call) => ordered(input, args.get('attribute'), call)[0],
  },
  max: {
    about: 'The largest item, or the item whose attribute is largest; undefined when there is none.',
    params: ['attribute'],
    apply: (input, args, call) => ordered(input, args.get('attribute'), call).at(-1),
  },
  sum: {
    about: 'The sum of the numbers, or of that attribute of the items.',
    params: ['attribute', 'start'],
    apply(input, args, call) {
      const attribute = args.get('attribute') ?? null;
      const numbers = attribute === null ? wantList(input, call) : attributesOf(input, attribute, call);
      let total = 0;
      for (const number of [args.get('start') ?? 0, ...numbers]) {
        if (typeof number !== 'number') fail(call, 'EXPR_TYPE', 'every item must be a number');
        total += number;
      }
      return total;
    },
  },
  sort: {
    about: 'In ascending order, or descending with reverse=true; by attribute when given.',
    params: ['reverse', 'attribute'],
    apply(input, args, call) {
      const sorted = ordered(input, args.get('attribute'), call);
      return truthy(args.get('reverse') ?? false) ? sorted.reverse() : sorted;
    },
  },
  unique: {
    about: 'Each item once, where it came first; by attribute when given.',
    params: ['attribute'],
    apply(input, args, call) {
      const attribute = args.get('attribute');
      const keys = attribute === undefined ? wantList(input, call) : attributesOf(input, attribute, call);
      const seen = new Set<string>();
      return wantList(input, call).filter((_item, index) => {
        const identity = identityOf(keys[index] as Value, call.budget, call.at);
        return !seen.has(identity) && seen.add(identity);
      });
    },
  },
  reverse: {
    about: 'The other way round: a list or a string.',
    params: [],
    apply: (input, _args, call) =>
      typeof input === 'string'
        ? Array.from(wantText(input, call)).reverse().join('')
        : wantList(input, call).toReversed(),
  },
  map: {
    about: 'Each item through a filter: map("upper"); or that attribute of each: map(attribute="ip", default=none).',
    params: ['filter'],
    rest: true,
    options: ['attribute', 'default'],
    refers: { param: 'filter', to: 'filter' },
    apply(input, args, call) {
      const attribute = args.get('attribute');
      if (attribute !== undefined) return attributesOf(input, attribute, call, args.get('default'));
      const filter = args.get('filter');
      if (typeof filter !== 'string') return fail(call, 'EXPR_FILTER', 'name a filter, or give attribute=');
      return wantList(input, call).map((item, index) => {
        const made = call.filter(filter, item, args.rest);
        if (made === undefined) fail(call, 'EXPR_UNDEFINED', `"${filter}" gives nothing for item ${index}`);
        return made;
      });
    },
  },
  select: {
    about: 'The items that pass a test; without one, those that are true.',
    params: ['test'],
    rest: true,
    refers: { param: 'test', to: 'test' },
    apply: (input, args, call) => wantList(input, call).filter((item) => passes(item, args, call)),
  },
  reject: {
    about: 'The items that do not pass a test; without one, those that are false.',
    params: ['test'],
    rest: true,
    refers: { param: 'test', to: 'test' },
    apply: (input, args, call) => wantList(input, call).filter((item) => !passes(item, args, call)),
  },
  selectattr: {
    about: 'The items whose attribute passes a test; without one, is true.',
    params: ['attribute', 'test'],
    required: 1,
    rest: true,
    refers: { param: 'test', to: 'test' },
    apply: (input, args, call) => byAttribute(input, args, call, true),
  },
  rejectattr: {
    about: 'The items whose attribute does not pass a test; without one, is false.',
    params: ['attribute', 'test'],
    required: 1,
    rest: true,
    refers: { param: 'test', to: 'test' },
    apply: (input, args, call) => byAttribute(input, args, call, false),
  },
  flatten: {
    about: 'Lists inside the list opened up, all of them or only as many levels as given.',
    params: ['levels'],
    apply(input, args, call) {
      const levels = args.get('levels') ?? null;
      return flatten(wantList(input, call), levels === null ? 1000 : wantCount(levels, 1000, call), call, 0);
    },
  },
  difference: {
    about: 'The items that are not in the other list, each once.',
    params: ['other'],
    required: 1,
    apply: (input, args, call) => setOf(input, args, call, (inOther) => !inOther),
  },
  intersect: {
    about: 'The items that are also in the other list, each once.',
    params: ['other'],
    required: 1,
    apply: (input, args, call) => setOf(input, args, call, (inOther) => inOther),
  },
  union: {
    about: 'The items of both lists, each once.',
    params: ['other'],
    required: 1,
    apply: (input, args, call) =>
      call.filter('unique', [...wantList(input, call), ...wantList(args.get('other'), call)], []),
  },
  zip: {
    about: 'Lists of the first items, the second items and so on, as long as the shortest.',
    params: [],
    rest: true,
    apply(input, args, call) {
      const lists = [input, ...args.rest].map((list) => wantList(list, call));
      const length = Math.min(...lists.map((list) => list.length));
      call.budget.spend(length * lists.length, call.at);
      return Array.from({ length }, (_none, index) => lists.map((list) => list[index] as Value));
    },
  },
  dict2items: {
    about: 'A map as a list of {key, value}, under other names when given.',
    params: ['key_name', 'value_name'],
    apply(input, args, call) {
      const [keyName, valueName] = pairNames(args, call);
      if (!isMap(input)) return fail(call, 'EXPR_TYPE', 'expected a map');
      call.budget.spend(Object.keys(input).length * 2, call.at);
      return ownKeys(input).map((key) =>
        makeMap(
          [
            [keyName, key],
            [valueName, input[key] as Value],
          ],
          call.at,
        ),
      );
    },
  },
  items2dict: {
    about: 'A list of {key, value} as a map; under other names when given.',
    params: ['key_name', 'value_name'],
    apply(input, args, call) {
      const names = pairNames(args, call);
      const entries = wantList(input, call).map((item, index): [string, Value] => {
        const [key, value] = names.map((name) => (isMap(item) ? valueAt(item, name) : undefined));
        if (key === undefined || value === undefined) {
          return fail(call, 'EXPR_UNDEFINED', `item ${index} needs "${names[0]}" and "${names[1]}"`);
        }
        return [wantText(key, call), value];
      });
      return makeMap(entries, call.at);
    },
  },
};

function itemsOf(input: Value, call: Call): readonly Value[] {
  if (Array.isArray(input)) return input;
  return typeof input === 'string' ? Array.from(wantText(input, call)) : wantList(input, call);
}

function ordered(input: Value, attribute: Value | undefined, call: Call): Value[] {
  const list = wantList(input, call);
  const keys = attribute === undefined || attribute === null ? list : attributesOf(input, attribute, call);
  const pairs = list.map((item, index) => ({ item, key: keys[index] as Value }));
  return pairs.sort((a, b) => order(a.key, b.key, call.budget, call.at)).map((pair) => pair.item);
}

function passes(item: Value, args: Args, call: Call): boolean {
  const test = args.get('test');
  return typeof test === 'string' ? call.test(test, item, args.rest) : truthy(item);
}

function byAttribute(input: Value, args: Args, call: Call, wanted: boolean): Value[] {
  const path = attributePath(args.get('attribute'), call);
  const test = args.get('test');
  return wantList(input, call).filter((item) => {
    const value = valueAt(item, path);
    if (typeof test === 'string') return call.test(test, value, args.rest) === wanted;
    return (value !== undefined && truthy(value)) === wanted;
  });
}

function flatten(list: readonly Value[], levels: number, call: Call, depth: number): Value[] {
  call.budget.depth(depth, call.at);
  call.budget.spend(list.length, call.at);
  return list.flatMap((item) => {
    return Array.isArray(item) && levels > 0 ? flatten(item, levels - 1, call, depth + 1) : [item];
  });
}

function setOf(input: Value, args: Args, call: Call, keep: (inOther: boolean) => boolean): Value[] {
  const identity = (item: Value): string => identityOf(item, call.budget, call.at);
  const other = new Set(wantList(args.get('other'), call).map(identity));
  const seen = new Set<string>();
  return wantList(input, call).filter((item) => {
    const key = identity(item);
    return keep(other.has(key)) && !seen.has(key) && seen.add(key);
  });
}

function pairNames(args: Args, call: Call): readonly [string, string] {
  return [wantText(args.get('key_name') ?? 'key', call), wantText(args.get('value_name') ?? 'value', call)];
}
