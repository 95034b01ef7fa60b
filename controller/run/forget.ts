import type { RunStatus } from '../../shared/lifecycle.ts';
import { runHasEnded } from '../../shared/lifecycle.ts';

/**
 * Which plan run was started last on which node. One that ended other than `done` is not forgotten there until a newer one
 * starts, so that it can be resumed; one that has been overtaken cannot be.
 */
export class LastPlans {
  private readonly byNode = new Map<string, string>();
  /** Of the runs in `byNode`. */
  private readonly statuses = new Map<string, RunStatus>();

  load(plans: readonly { node: string; run: string; status: RunStatus }[]): void {
    for (const { node, run, status } of plans) {
      this.byNode.set(node, run);
      this.statuses.set(run, status);
    }
  }

  /** A plan run takes its nodes. Returns the runs that this overtakes, with the nodes where it does. */
  started(run: string, nodes: Iterable<string>): Map<string, string[]> {
    const overtaken = new Map<string, string[]>();
    for (const node of nodes) {
      const before = this.byNode.get(node);
      if (before !== undefined && before !== run) overtaken.set(before, [...(overtaken.get(before) ?? []), node]);
      this.byNode.set(node, run);
    }
    this.statuses.set(run, 'running');
    return overtaken;
  }

  ended(run: string, status: RunStatus): void {
    if (this.statuses.has(run)) this.statuses.set(run, status);
  }

  /** Is it the last one on any node? */
  knows(run: string): boolean {
    return this.statuses.has(run);
  }

  /** The first of the nodes on which another plan run has started since, and which. */
  overtakenBy(run: string, nodes: Iterable<string>): { node: string; run: string } | undefined {
    for (const node of nodes) {
      const last = this.byNode.get(node);
      if (last !== undefined && last !== run) return { node, run: last };
    }
    return undefined;
  }

  /** How a run that has ended, and that may be resumed, did so; undefined: the node may forget it. */
  keptOn(node: string, run: string): RunStatus | undefined {
    const status = this.byNode.get(node) === run ? this.statuses.get(run) : undefined;
    return status !== undefined && runHasEnded(status) && status !== 'done' ? status : undefined;
  }
}
