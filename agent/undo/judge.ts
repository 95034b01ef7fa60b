import type { Change, Image } from './image.ts';

/** A facet in which a resource is neither as kk left it nor as it was before. */
export interface Difference {
  facet: string;
  present: Image[string] | undefined;
  left: Image[string] | undefined;
  before: Image[string] | undefined;
}

export type Judgement =
  | { verdict: 'as-before' }
  | { verdict: 'restore'; to: Image }
  | { verdict: 'conflict'; differences: Difference[] }
  | { verdict: 'lost'; why: string };

/**
 * May the changes of one step to one resource (oldest first) be undone, and to what? Only where each facet is what kk left,
 * or already what it was before: a change that a crash cut short has some of each. Pure.
 */
export function judge(changes: readonly Pick<Change, 'before' | 'after'>[], present: Image): Judgement {
  let current = present;
  for (const { before, after } of changes.toReversed()) {
    if (before.state === 'lost') return { verdict: 'lost', why: String(before['why'] ?? 'its image is gone') };
    if (isSame(current, before)) continue;
    const differences = differencesOf(current, before, after);
    if (differences.length > 0) return { verdict: 'conflict', differences };
    current = before;
  }
  return current === present ? { verdict: 'as-before' } : { verdict: 'restore', to: current };
}

/** Is everything that `wanted` states so? */
export function isSame(image: Image, wanted: Image): boolean {
  return Object.entries(wanted).every(([facet, value]) => image[facet] === value);
}

function differencesOf(present: Image, before: Image, after: Image): Difference[] {
  const alike = [before, after].filter(({ state }) => state === present.state);
  const facets = alike.length === 0 ? ['state'] : Object.keys(present);
  return facets
    .filter((facet) => !alike.some((image) => image[facet] === undefined || image[facet] === present[facet]))
    .map((facet) => ({ facet, present: present[facet], left: after[facet], before: before[facet] }));
}
