/**
 * Sets of nodes, kept once each: tasks with the same nodes share one set, so a graph of 300 tasks over 5,000 nodes holds a
 * handful of arrays (ENGINE 1.3).
 */
export interface NodeSet {
  /** Node indexes, rising: inventory order. */
  readonly members: readonly number[];
  /** node index -> position in `members`, -1 or undefined outside. */
  readonly position: { readonly [node: number]: number };
}

/** Below this share of all nodes a set keeps its positions as a map: 5,000 batches of one node are small then. */
const SPARSE = 1 / 16;

/** Interns node sets over a fixed number of nodes. */
export class NodeSets {
  readonly sets: NodeSet[] = [];
  private readonly ids = new Map<string, number>();
  private readonly nodeCount: number;

  constructor(nodeCount: number) {
    this.nodeCount = nodeCount;
  }

  /** The id of the set with these members (any order, duplicates allowed). */
  intern(members: Iterable<number>): number {
    const sorted = [...new Set(members)].sort((a, b) => a - b);
    const key = sorted.join();
    const known = this.ids.get(key);
    if (known !== undefined) return known;
    const position: Record<number, number> | Int32Array =
      sorted.length < this.nodeCount * SPARSE ? {} : new Int32Array(this.nodeCount).fill(-1);
    sorted.forEach((node, at) => {
      position[node] = at;
    });
    const id = this.sets.push({ members: sorted, position }) - 1;
    this.ids.set(key, id);
    return id;
  }

  get(id: number): NodeSet {
    const set = this.sets[id];
    if (!set) throw new RangeError(`no node set ${id}`);
    return set;
  }
}

export function contains(set: NodeSet, node: number): boolean {
  return (set.position[node] ?? -1) >= 0;
}
