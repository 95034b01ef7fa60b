import type { Verdict } from '../../shared/checks/outcome.ts';
import type { ErrorReport } from '../../shared/errors.ts';
import type { Facts } from '../../shared/facts.ts';
import type { StepOutcome } from '../../shared/lifecycle.ts';
import type { Json, StepResult } from '../../shared/share.ts';
import type { RunEnd } from './state.ts';

/** A person has said yes to inputs of this digest. */
export interface Answer {
  digest: string;
  changed: boolean;
  output: Json;
}

/**
 * The run begins anew with a graph of its own revision: every step waits, and the agents say which of them are kept (ENGINE
 * 3.4). Indexes are those of the new graph; what is after this event is of this revision.
 */
export interface Revision {
  kind: 'revised';
  at: number;
  revision: number;
  by: string;
  /** `voided`: a node lost its journal, and what it had done with it. */
  how: 'resume' | 'retry' | 'skip' | 'adopt' | 'voided';
  /** With `voided`: which. */
  node?: number;
  /** Nodes whose failed, interrupted and blocked steps are tried again; absent: all. */
  retry?: number[];
  /** Tasks that run again although they ended ok; `nodes` absent: wherever they run. */
  rerun: { task: number; nodes?: number[] }[];
  /** Tasks that a person has taken out, in this revision or before. */
  skip: { task: number; reason: string; nodes?: number[] }[];
  /** Steps that hold their permit from the revision before; `failed`: they had ended so. */
  permits: { task: number; node: number; failed?: true }[];
  /** What persons have confirmed in the revisions before: the same question is not asked again. */
  answers?: (Answer & { task: number; node: number })[];
  /** Steps of the controller's own that failed in the revision before and are not tried again: those for nodes not in `retry`. */
  failures?: { task: number; node: number; result: StepResult }[];
}

/**
 * What happened in a run, in the order in which it was stored: the run's whole truth. `apply-event` makes the state of it,
 * live and after a restart. Nodes go by index into the graph's `nodes`, tasks by index. Times: milliseconds since 1970.
 */
export type RunEvent =
  | { kind: 'accepted'; at: number; node: number; revision: number }
  | { kind: 'refused'; at: number; node: number; error: ErrorReport }
  | {
      kind: 'begun';
      at: number;
      node: number;
      task: number;
      attempt: number;
      items: number /** What it waits for a person to confirm. */;
      asks?: string;
    }
  | {
      kind: 'ended';
      at: number;
      node: number;
      task: number;
      outcome: StepOutcome;
      result: StepResult;
      durationMs: number;
      /** For `check` steps: the judgement, made when the event came and kept, so that a replay cannot judge otherwise. */
      verdict?: Verdict;
      /** A reason given by a person why a failing verdict does not hold the run. */
      waived?: string;
      /** Of the inputs, where a person's answer to them is worth keeping. */
      digest?: string;
    }
  | { kind: 'blocked'; at: number; node: number; tasks: number[]; cause: string; cancelled: boolean }
  | { kind: 'facts'; at: number; node: number; version: number; facts: Facts }
  | { kind: 'bootstrap'; at: number; node: number; phase: string }
  | { kind: 'given_up'; at: number; node: number; error: ErrorReport }
  | { kind: 'permit_granted'; at: number; node: number; task: number }
  /** A person frees a permit that a failed step keeps. */
  | { kind: 'permit_released'; at: number; name: string; by: string }
  | {
      kind: 'cancel';
      at: number;
      by: string;
      force?: true;
      /** Nodes that a push may have reached: they are asked, and say what became of their steps. */
      asked?: number[];
    }
  | { kind: 'paused' | 'unpaused'; at: number; by: string }
  | Revision
  | { kind: 'started'; at: number }
  | { kind: 'finished'; at: number; status: RunEnd };
