import { type Callable, fail, wantMap, wantText } from './callable.ts';
import { ownEntry, ownKeys, type Value } from './value.ts';

/** A method of strings that a filter of the same meaning carries out. */
function likeFilter(filter: string, params: readonly string[], required = 0): Callable {
  return {
    about: `On a string: the filter ${filter}.`,
    params,
    required,
    apply(self, args, call) {
      if (typeof self !== 'string') fail(call, 'EXPR_TYPE', 'only a string has it');
      const given = params.map((param) => args.get(param) ?? null);
      return call.filter(filter, self, given) ?? null;
    },
  };
}

/**
 * The methods that people know from Ansible; there are no others. Each belongs to one type, its `self`: a method is
 * looked up in this table, never on the JavaScript object.
 */
export const methods: ReadonlyMap<string, Callable> = new Map<string, Callable>([
  [
    'items',
    {
      about: 'On a map: the list of [key, value].',
      params: [],
      apply(self, _args, call) {
        const map = wantMap(self, call);
        return ownKeys(map).map((key): Value => [key, map[key] as Value]);
      },
    },
  ],
  ['keys', { about: 'On a map: its keys.', params: [], apply: (self, _args, call) => ownKeys(wantMap(self, call)) }],
  [
    'values',
    {
      about: 'On a map: its values.',
      params: [],
      apply(self, _args, call) {
        const map = wantMap(self, call);
        return ownKeys(map).map((key) => map[key] as Value);
      },
    },
  ],
  [
    'get',
    {
      about: 'On a map: the entry under a key, else the default, else none.',
      params: ['key', 'default'],
      required: 1,
      apply(self, args, call) {
        const found = ownEntry(wantMap(self, call), wantText(args.get('key'), call));
        return found === undefined ? (args.get('default') ?? null) : found;
      },
    },
  ],
  ['split', likeFilter('split', ['separator', 'maxsplit'])],
  ['strip', likeFilter('trim', ['chars'])],
  ['replace', likeFilter('replace', ['old', 'new', 'count'], 2)],
  ['upper', likeFilter('upper', [])],
  ['lower', likeFilter('lower', [])],
  [
    'startswith',
    {
      about: 'On a string: does it begin so?',
      params: ['prefix'],
      required: 1,
      apply: (self, args, call) => wantText(self, call).startsWith(wantText(args.get('prefix'), call)),
    },
  ],
  [
    'endswith',
    {
      about: 'On a string: does it end so?',
      params: ['suffix'],
      required: 1,
      apply: (self, args, call) => wantText(self, call).endsWith(wantText(args.get('suffix'), call)),
    },
  ],
  [
    'join',
    {
      about: 'On a string: the items of a list with this string between them.',
      params: ['items'],
      required: 1,
      apply: (self, args, call) => call.filter('join', args.get('items'), [wantText(self, call)]) ?? null,
    },
  ],
]);
