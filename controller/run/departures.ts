import { KkError } from '../../shared/errors.ts';

/**
 * Nodes whose agents are being taken off them: what would begin there would be cut off with the agent, and be waited for
 * as long as a lease. A run and a removal never both begin on a node.
 */
export class Departures {
  private readonly leaving = new Set<string>();
  /** Who waits for the end of one. */
  private readonly waiting: (() => void)[] = [];
  /** Nodes of runs that are on their way into the store. */
  private readonly entering = new Set<ReadonlySet<string>>();

  /** From now on no run begins there; the answer ends that. Throws KkError NODE_LEAVING. */
  leave(node: string): () => void {
    this.refuse([node]);
    this.leaving.add(node);
    return () => {
      this.leaving.delete(node);
      for (const go of this.waiting.splice(0)) go();
    };
  }

  /** Resolves when a removal has ended that is under way; at once if none is. */
  ended(): Promise<void> {
    if (this.leaving.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.waiting.push(resolve));
  }

  /** A run begins there; until the answer is called it is not among the active ones. Throws KkError NODE_LEAVING. */
  enter(nodes: ReadonlySet<string>): () => void {
    this.refuse(nodes);
    this.entering.add(nodes);
    return () => void this.entering.delete(nodes);
  }

  isEntered(node: string): boolean {
    return [...this.entering].some((nodes) => nodes.has(node));
  }

  /** Throws KkError NODE_LEAVING. */
  refuse(nodes: Iterable<string>): void {
    const [node] = [...nodes].filter((name) => this.leaving.has(name));
    if (node === undefined) return;
    throw new KkError({
      code: 'NODE_LEAVING',
      message: `${node} is just being removed from the fleet.`,
      remedy: `Wait until \`kk-controller nodes\` does not show it any more, at most two minutes; or leave it out: 'all:!${node}'.`,
      node,
    });
  }
}
