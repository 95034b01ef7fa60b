/**
 * The leading numbers of a version: `4.18.0-513.el8.x86_64` -> [4, 18, 0], `V10` -> [10], `22.04` -> [22, 4].
 * Empty when there is none.
 */
export function numbersOf(version: string): number[] {
  const found = /^\s*[vV]?(\d+(?:\.\d+)*)/.exec(version);
  return found?.[1] === undefined ? [] : found[1].split('.').map(Number);
}

/** Is `found` at least `wanted`? Missing parts count as 0, so 9 equals 9.0. undefined: `found` has no numbers. */
export function atLeast(found: string, wanted: string): boolean | undefined {
  const have = numbersOf(found);
  if (have.length === 0) return undefined;
  const want = numbersOf(wanted);
  for (let i = 0; i < Math.max(have.length, want.length); i++) {
    const difference = (have[i] ?? 0) - (want[i] ?? 0);
    if (difference !== 0) return difference > 0;
  }
  return true;
}
