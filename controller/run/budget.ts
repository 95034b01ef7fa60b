import type { GraphPlay } from '../compile/graph.ts';

/**
 * Are the failures within what a play allows: `budget` percent of its nodes, over all of `members` and over each batch of
 * them (ENGINE 1.2)? Unstated: none.
 */
export function isWithinBudget(play: GraphPlay, failed: ReadonlySet<number>, members: readonly number[]): boolean {
  const within = (failures: number, of: number): boolean => failures * 100 <= (play.budget ?? 0) * Math.max(1, of);
  if (!within(failed.size, members.length)) return false;
  const { batchOf } = play;
  if (!batchOf) return true;
  const sizes = new Map<number, { of: number; failed: number }>();
  for (const node of members) {
    const batch = batchOf[node] ?? -1;
    const size = sizes.get(batch) ?? { of: 0, failed: 0 };
    size.of += 1;
    if (failed.has(node)) size.failed += 1;
    sizes.set(batch, size);
  }
  return [...sizes.values()].every((size) => within(size.failed, size.of));
}
