/**
 * Batches of a play with `serial`: sizes in turn, the last one repeats.
 * Returns node index -> batch for the members, and how many batches there are.
 */
export function batchesOf(
  members: readonly number[],
  sizes: readonly number[],
  nodeCount: number,
): { batchOf: Int32Array; batches: number } {
  const batchOf = new Int32Array(nodeCount).fill(-1);
  let batch = 0;
  let left = sizes[0] ?? members.length;
  for (const node of members) {
    if (left === 0) {
      batch += 1;
      left = sizes[Math.min(batch, sizes.length - 1)] ?? members.length;
    }
    batchOf[node] = batch;
    left -= 1;
  }
  return { batchOf, batches: members.length === 0 ? 0 : batch + 1 };
}
