import { patternOf } from '../pattern.ts';
import { type Args, type Call, fail, wantText } from './callable.ts';
import { truthy } from './value.ts';

/*
 * Patterns are the playbook author's and run on JavaScript's backtracking engine, which can be made to take
 * exponential time (ReDoS) by a pattern such as `(a+)+$`. The bounds below keep polynomial patterns quick but are no
 * full guard: a pattern must never be built from text that a node or a stranger supplies.
 */
const MAX_PATTERN = 1000;
/** A register is at most this long (ENGINE 2.3). */
const MAX_INPUT = 64 * 1024;

/** Text to be searched; longer than a register is EXPR_LIMIT. */
export function regexInput(text: string, call: Call): string {
  if (text.length > MAX_INPUT) {
    fail(call, 'EXPR_LIMIT', `a regular expression may search at most ${MAX_INPUT} characters`);
  }
  return text;
}

/** Compiles the pattern argument, in Python's spelling or JavaScript's, with the `ignorecase` and `multiline` options. */
export function regexOf(args: Args, flags: 'g' | 'y' | '', call: Call): RegExp {
  const text = wantText(args.get('pattern'), call);
  if (text.length > MAX_PATTERN) fail(call, 'EXPR_LIMIT', `the pattern is longer than ${MAX_PATTERN} characters`);
  const options = `${truthy(args.get('ignorecase') ?? false) ? 'i' : ''}${truthy(args.get('multiline') ?? false) ? 'm' : ''}`;
  const pattern = patternOf(text, flags + options);
  return pattern === undefined
    ? fail(call, 'EXPR_FILTER', 'the regular expression is not valid')
    : new RegExp(pattern.source, pattern.flags);
}

/** Replaces every match; `\1`, `\g<1>` and `\g<name>` in the replacement stand for groups. */
export function regexReplace(text: string, pattern: RegExp, replacement: string, call: Call): string {
  let length = text.length;
  return text.replaceAll(pattern, (...parts: unknown[]) => {
    const groups = typeof parts.at(-1) === 'object' ? (parts.at(-1) as Record<string, string | undefined>) : undefined;
    const count = parts.length - (groups === undefined ? 2 : 3);
    const made = replacement.replaceAll(/\\(?:(\d)|g<(\w+)>|\\)/g, (whole, digit?: string, name?: string) => {
      const key = digit ?? name;
      if (key === undefined) return whole === '\\\\' ? '\\' : whole;
      if (!/^\d+$/.test(key)) return groups !== undefined && Object.hasOwn(groups, key) ? (groups[key] ?? '') : '';
      const part = Number(key) < count ? parts[Number(key)] : undefined;
      return typeof part === 'string' ? part : '';
    });
    length += made.length;
    if (length > call.budget.limits.text) call.budget.text(length, call.at);
    call.budget.spend(1, call.at);
    return made;
  });
}
