import { type Call, type Filter, fail, madeText, wantCount, wantList, wantText } from '../callable.ts';
import { regexInput, regexOf, regexReplace } from '../regex.ts';
import { toText, truthy, type Value } from '../value.ts';
import { attributesOf } from './attribute.ts';

/** A word that a POSIX shell reads back as exactly this text. NUL cannot be in an argument. */
function shellQuote(text: string): string {
  return /^[A-Za-z0-9_@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'"'"'`)}'`;
}

/** The file name of a path, as basename(1) without its suffix handling, but '' for a path that ends in '/'. */
function basename(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

function dirname(path: string): string {
  const cut = path.lastIndexOf('/');
  let end = cut;
  while (end > 0 && path[end - 1] === '/') end -= 1;
  return end > 0 ? path.slice(0, end) : path.slice(0, cut + 1);
}

/** Filters that make text out of text. Numbers and booleans count as their text; none, lists and maps do not. */
export const textFilters: Readonly<Record<string, Filter>> = {
  string: {
    about: 'The value as text: none is empty, booleans are true/false, lists and maps are JSON.',
    params: [],
    apply: (input, _args, call) => toText(input, call.budget, call.at),
  },
  quote: {
    about: 'One word of a POSIX shell, whatever the text contains.',
    params: [],
    apply(input, _args, call) {
      const text = wantText(input, call);
      if (text.includes('\0')) fail(call, 'EXPR_FILTER', 'a NUL character cannot be passed to a shell');
      return madeText(shellQuote(text), call);
    },
  },
  lower: {
    about: 'Lower case.',
    params: [],
    apply: (input, _args, call) => wantText(input, call).toLowerCase(),
  },
  upper: {
    about: 'Upper case.',
    params: [],
    apply: (input, _args, call) => wantText(input, call).toUpperCase(),
  },
  trim: {
    about: 'Without whitespace, or the given characters, at both ends.',
    params: ['chars'],
    apply: (input, args, call) => strip(wantText(input, call), optionalText(args.get('chars'), call)),
  },
  replace: {
    about: 'Every occurrence of one text replaced by another; with count only the first ones.',
    params: ['old', 'new', 'count'],
    required: 2,
    apply(input, args, call) {
      const text = wantText(input, call);
      const old = wantText(args.get('old'), call);
      const fresh = wantText(args.get('new'), call);
      const count = wantCount(args.get('count') ?? 1_000_000, 1_000_000, call);
      const pieces = splitText(text, old, count, call);
      call.budget.text(text.length + (pieces.length - 1) * (fresh.length - old.length), call.at);
      return pieces.join(fresh);
    },
  },
  regex_replace: {
    about: 'Every match of a regular expression replaced; \\1 or \\g<name> stand for groups.',
    params: ['pattern', 'replacement'],
    required: 1,
    options: ['ignorecase', 'multiline'],
    apply(input, args, call) {
      const text = regexInput(wantText(input, call), call);
      const replacement = wantText(args.get('replacement') ?? '', call);
      return madeText(regexReplace(text, regexOf(args, 'g', call), replacement, call), call);
    },
  },
  regex_search: {
    about: 'The first match; with group numbers or names (as "\\\\1") the list of those groups. No match: none.',
    params: ['pattern'],
    required: 1,
    rest: true,
    options: ['ignorecase', 'multiline'],
    apply(input, args, call) {
      const found = regexOf(args, '', call).exec(regexInput(wantText(input, call), call));
      if (found === null) return null;
      if (args.rest.length === 0) return found[0];
      return args.rest.map((group) => {
        const key = wantText(group, call).replace(/^\\(?:g<(\w+)>|(\d+))$/, '$1$2');
        if (/^\d+$/.test(key)) return found[Number(key)] ?? null;
        return found.groups !== undefined && Object.hasOwn(found.groups, key) ? (found.groups[key] ?? null) : null;
      });
    },
  },
  split: {
    about: 'The parts between separators; without one, the words between whitespace.',
    params: ['separator', 'maxsplit'],
    apply(input, args, call) {
      const most = wantCount(args.get('maxsplit') ?? 1_000_000, 1_000_000, call);
      const separator = args.get('separator') ?? null;
      const text = wantText(input, call);
      if (separator === null) return splitWords(text, most, call);
      return splitText(text, wantText(separator, call), most, call);
    },
  },
  join: {
    about: 'The items of a list as one text; with attribute, that attribute of each.',
    params: ['separator', 'attribute'],
    apply(input, args, call) {
      const attribute = args.get('attribute');
      const list = attribute === undefined ? wantList(input, call) : attributesOf(input, attribute, call);
      const separator = wantText(args.get('separator') ?? '', call);
      let length = 0;
      const parts = list.map((item) => {
        const text = toText(item, call.budget, call.at);
        length += text.length + separator.length;
        if (length > call.budget.limits.text) call.budget.text(length, call.at);
        return text;
      });
      return madeText(parts.join(separator), call);
    },
  },
  indent: {
    about: 'Each line but the first moved right by width spaces (4); first and blank say whether those lines too.',
    params: ['width', 'first', 'blank'],
    apply(input, args, call) {
      const width = args.get('width') ?? 4;
      const space = typeof width === 'string' ? width : ' '.repeat(wantCount(width, 1000, call));
      const first = truthy(args.get('first') ?? false);
      const blank = truthy(args.get('blank') ?? false);
      const text = wantText(input, call);
      const lines = text.split('\n');
      call.budget.text(text.length + lines.length * space.length, call.at);
      return lines
        .map((line, index) => ((index > 0 || first) && (line !== '' || blank) ? space + line : line))
        .join('\n');
    },
  },
  basename: {
    about: 'The last part of a path.',
    params: [],
    apply: (input, _args, call) => basename(wantText(input, call)),
  },
  dirname: {
    about: 'A path without its last part.',
    params: [],
    apply: (input, _args, call) => dirname(wantText(input, call)),
  },
};

function optionalText(value: Value | undefined, call: Call): string | undefined {
  return value === undefined || value === null ? undefined : wantText(value, call);
}

function strip(text: string, chars: string | undefined): string {
  if (chars === undefined) return text.trim();
  const set = new Set(chars);
  let from = 0;
  let to = text.length;
  while (from < to && set.has(text[from] ?? '')) from += 1;
  while (to > from && set.has(text[to - 1] ?? '')) to -= 1;
  return text.slice(from, to);
}

function splitText(text: string, separator: string, most: number, call: Call): string[] {
  if (separator === '') fail(call, 'EXPR_FILTER', 'the text to look for is empty');
  const pieces = text.split(separator);
  call.budget.spend(pieces.length, call.at);
  if (pieces.length <= most + 1) return pieces;
  return [...pieces.slice(0, most), pieces.slice(most).join(separator)];
}

function splitWords(text: string, most: number, call: Call): string[] {
  const words: string[] = [];
  let rest = text.trim();
  while (rest !== '' && words.length < most) {
    const word = /^\S+/.exec(rest)?.[0] ?? '';
    words.push(word);
    call.budget.spend(1, call.at);
    rest = rest.slice(word.length).trimStart();
  }
  return rest === '' ? words : [...words, rest];
}
