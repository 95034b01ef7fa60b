/**
 * A pattern as people write it, for JavaScript's engine. Python's spellings that are known from Ansible are understood:
 * `(?P<name>..)`, `(?P=name)`, `(?i)` in front, `\A` and `\Z`.
 */
export interface Pattern {
  source: string;
  flags: string;
}

/** undefined: it is not valid. `flags`: of the caller's own. */
export function patternOf(pattern: string, flags = ''): Pattern | undefined {
  const inline = /^\(\?([ims]+)\)/.exec(pattern);
  const all = [...new Set(`${flags}${inline?.[1] ?? ''}`)].join('');
  const source = pattern
    .slice(inline?.[0].length ?? 0)
    .replaceAll('(?P<', '(?<')
    .replaceAll(/\(\?P=(\w+)\)/g, '\\k<$1>')
    .replaceAll(/\\([\s\S])/g, (whole, char: string) =>
      char === 'A' ? '(?<![\\s\\S])' : char === 'Z' ? '(?![\\s\\S])' : whole,
    );
  // Unicode mode refuses needless escapes such as `\-`, which are common in Python patterns; then plain mode is used.
  return [`${all}u`, all].map((flags) => ({ source, flags })).find(isValid);
}

function isValid({ source, flags }: Pattern): boolean {
  try {
    new RegExp(source, flags);
    return true;
  } catch {
    return false;
  }
}
