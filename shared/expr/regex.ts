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

/**
 * Compiles the pattern argument with the `ignorecase` and `multiline` options. Python's spellings that people know from
 * Ansible are understood: `(?P<name>..)`, `(?P=name)`, `(?i)` in front, `\A` and `\Z`.
 */
export function regexOf(args: Args, flags: 'g' | 'y' | '', call: Call): RegExp {
  const pattern = wantText(args.get('pattern'), call);
  if (pattern.length > MAX_PATTERN) fail(call, 'EXPR_LIMIT', `the pattern is longer than ${MAX_PATTERN} characters`);
  const inline = /^\(\?([ims]+)\)/.exec(pattern);
  const all = new Set(`${flags}u${inline?.[1] ?? ''}`);
  if (truthy(args.get('ignorecase') ?? false)) all.add('i');
  if (truthy(args.get('multiline') ?? false)) all.add('m');
  const source = pattern
    .slice(inline?.[0].length ?? 0)
    .replaceAll('(?P<', '(?<')
    .replaceAll(/\(\?P=(\w+)\)/g, '\\k<$1>')
    .replaceAll(/\\([\s\S])/g, (whole, char: string) =>
      char === 'A' ? '(?<![\\s\\S])' : char === 'Z' ? '(?![\\s\\S])' : whole,
    );
  return compiled(source, [...all], call);
}

/** Unicode mode refuses needless escapes such as `\-`, which are common in Python patterns; then plain mode is used. */
function compiled(source: string, flags: readonly string[], call: Call): RegExp {
  try {
    return new RegExp(source, flags.join(''));
  } catch {
    try {
      return new RegExp(source, flags.filter((flag) => flag !== 'u').join(''));
    } catch {
      return fail(call, 'EXPR_FILTER', 'the regular expression is not valid');
    }
  }
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
