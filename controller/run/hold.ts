import type { ActiveRun } from './active-run.ts';

/** Why nodes may start nothing new: the identity of one is in doubt, the generation is behind, a run is paused. */
export class Holds {
  /** name -> reason (ENGINE 4.4). */
  readonly doubted = new Map<string, string>();
  /** Agents have met a newer controller: all runs but the adopted ones are held (ENGINE 3.6). */
  private behind: { reason: string; adopted: ReadonlySet<string> } | undefined;

  /** The strongest reason; undefined: the node may go on with this run. */
  reasonFor(run: ActiveRun, node: string): string | undefined {
    return this.doubted.get(node) ?? this.unadopted(run.record.id) ?? (isPaused(run) ? PAUSED : undefined);
  }

  /** Why nothing of the run is done until a person adopts it. */
  unadopted(run: string): string | undefined {
    return this.behind && !this.behind.adopted.has(run) ? this.behind.reason : undefined;
  }

  /** Why nothing new may be asked for. */
  get reason(): string | undefined {
    return this.behind?.reason;
  }

  /** Undefined: everything is adopted. */
  setBehind(behind: { reason: string; adopted: ReadonlySet<string> } | undefined): void {
    this.behind = behind;
  }
}

/** What is cancelled has to end. */
function isPaused({ state }: ActiveRun): boolean {
  return state.paused && !state.cancelled;
}

const PAUSED = 'The run is paused.';
