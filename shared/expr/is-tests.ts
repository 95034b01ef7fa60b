import semver from 'semver';
import { type Call, fail, type Test, wantNumber, wantText } from './callable.ts';
import { inCidr } from './filters/net.ts';
import { contains, order } from './operators.ts';
import { regexInput, regexOf } from './regex.ts';
import { equal, isMap, truthy, type Value } from './value.ts';

/** A test without arguments about the value alone. */
function plain(about: string, check: (input: Value) => boolean): Test {
  return { about, params: [], check };
}

function comparison(about: string, decide: (order: number) => boolean): Test {
  return {
    about,
    params: ['other'],
    required: 1,
    check: (input, args, call) => decide(order(input, args.get('other') ?? null, call.budget, call.at)),
  };
}

const isEqual: Test = {
  about: 'Equal to the other value.',
  params: ['other'],
  required: 1,
  check: (input, args, call) => equal(input, args.get('other') ?? null, call.budget, call.at),
};
const isUnequal: Test = {
  about: 'Not equal to the other value.',
  params: ['other'],
  required: 1,
  check: (input, args, call) => !equal(input, args.get('other') ?? null, call.budget, call.at),
};
const isLess = comparison('Less than the other value.', (found) => found < 0);
const isAtMost = comparison('Less than or equal to the other value.', (found) => found <= 0);
const isGreater = comparison('Greater than the other value.', (found) => found > 0);
const isAtLeast = comparison('Greater than or equal to the other value.', (found) => found >= 0);

function regexTest(about: string, flags: 'y' | ''): Test {
  return {
    about,
    params: ['pattern', 'ignorecase', 'multiline'],
    required: 1,
    check: (input, args, call) => regexOf(args, flags, call).test(regexInput(wantText(input, call), call)),
  };
}

/** Every test by name, for `is` and for select, reject, selectattr and rejectattr. */
export const tests: ReadonlyMap<string, Test> = new Map<string, Test>([
  [
    'defined',
    { about: 'The variable and every attribute asked for exist.', params: [], check: () => true, absent: false },
  ],
  [
    'undefined',
    { about: 'The variable or an attribute does not exist.', params: [], check: () => false, absent: true },
  ],
  ['none', plain('None (null).', (input) => input === null)],
  ['string', plain('A string.', (input) => typeof input === 'string')],
  ['number', plain('A number.', (input) => typeof input === 'number')],
  ['integer', plain('A whole number.', (input) => Number.isInteger(input))],
  ['float', plain('A number that is not whole.', (input) => typeof input === 'number' && !Number.isInteger(input))],
  ['boolean', plain('True or false.', (input) => typeof input === 'boolean')],
  ['mapping', plain('A map.', isMap)],
  ['sequence', plain('A list or a string.', (input) => Array.isArray(input) || typeof input === 'string')],
  [
    'iterable',
    plain('A list, a map or a string.', (input) =>
      typeof input === 'object' ? input !== null : typeof input === 'string',
    ),
  ],
  ['true', plain('The boolean true.', (input) => input === true)],
  ['false', plain('The boolean false.', (input) => input === false)],
  ['truthy', plain('Counts as true in a condition.', truthy)],
  ['falsy', plain('Counts as false in a condition.', (input) => !truthy(input))],
  ['even', { about: 'An even number.', params: [], check: (input, _args, call) => wantNumber(input, call) % 2 === 0 }],
  [
    'odd',
    { about: 'An odd number.', params: [], check: (input, _args, call) => Math.abs(wantNumber(input, call) % 2) === 1 },
  ],
  [
    'divisibleby',
    {
      about: 'A multiple of the other number.',
      params: ['other'],
      required: 1,
      check: (input, args, call) => wantNumber(input, call) % wantNumber(args.get('other'), call) === 0,
    },
  ],
  [
    'in',
    {
      about: 'An item of the list, a key of the map or a part of the string.',
      params: ['container'],
      required: 1,
      check: (input, args, call) => contains(args.get('container') ?? null, input, call.budget, call.at),
    },
  ],
  [
    'contains',
    {
      about: 'A list, map or string with this item, key or part.',
      params: ['item'],
      required: 1,
      check: (input, args, call) => contains(input, args.get('item') ?? null, call.budget, call.at),
    },
  ],
  ['match', regexTest('The regular expression matches at the beginning of the string.', 'y')],
  ['search', regexTest('The regular expression matches anywhere in the string.', '')],
  [
    'version',
    {
      about:
        'Compares versions: is version("1.30", ">="). Missing parts are 0; of what follows the third number only -alpha, -beta and -rc count.',
      params: ['other', 'operator'],
      required: 1,
      check(input, args, call) {
        const operator = VERSION_OPERATORS.get(wantText(args.get('operator') ?? '==', call));
        if (operator === undefined) fail(call, 'EXPR_FILTER', 'the operator must be one of == != < <= > >=');
        return operator(semver.compare(versionOf(input, call), versionOf(args.get('other'), call)));
      },
    },
  ],
  [
    'in_cidr',
    {
      about: 'An address in this network, or in one of these networks.',
      params: ['cidr'],
      required: 1,
      check: (input, args, call) => inCidr(input, args.get('cidr'), call),
    },
  ],
  ['eq', isEqual],
  ['equalto', isEqual],
  ['==', isEqual],
  ['ne', isUnequal],
  ['!=', isUnequal],
  ['lt', isLess],
  ['<', isLess],
  ['le', isAtMost],
  ['<=', isAtMost],
  ['gt', isGreater],
  ['>', isGreater],
  ['ge', isAtLeast],
  ['>=', isAtLeast],
]);

const VERSION_OPERATORS: ReadonlyMap<string, (order: number) => boolean> = new Map(
  (
    [
      [['==', '=', 'eq'], (found) => found === 0],
      [['!=', '<>', 'ne'], (found) => found !== 0],
      [['<', 'lt'], (found) => found < 0],
      [['<=', 'le'], (found) => found <= 0],
      [['>', 'gt'], (found) => found > 0],
      [['>=', 'ge'], (found) => found >= 0],
    ] as [string[], (order: number) => boolean][]
  ).flatMap(([names, decide]) => names.map((name) => [name, decide] as const)),
);

/**
 * A version as people and distributions write it ('v1.30', '5.15.0-105-generic', '1:2.4'). What follows a dash is a
 * pre-release only where it says so; a kernel's or a package's suffix must not make it older than its own version.
 * Leading zeros ('22.04') and a package's epoch ('1:') are dropped.
 */
function versionOf(value: Value | undefined, call: Call): string {
  const text = wantText(value, call)
    .trim()
    .slice(0, 250)
    .replace(/^\d+:/, '')
    .replaceAll(/(^|[v.])0+(?=\d)/g, '$1');
  const pre = /^v?\d+(?:\.\d+){2}-(?:alpha|beta|rc)/.test(text);
  const version = semver.coerce(text, { includePrerelease: pre });
  if (version === null) return fail(call, 'EXPR_FILTER', 'the text is not a version');
  return version.version;
}
