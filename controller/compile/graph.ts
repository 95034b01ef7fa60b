import type { Common, TaskSpec, Vars } from '../../shared/share.ts';
import type { SshSettings } from '../plan/types.ts';
import type { NodeSet } from './node-set.ts';

/** `check` is a dry run of a plan: agents inspect and write nothing. */
export type RunKind = 'plan' | 'exec' | 'check';

/**
 * The task graph: tasks x node sets, acyclic, frozen. A step is a pair (task index, node index). Steps and edges are never
 * materialised: an edge is a relation between tasks, and all that crosses nodes passes through a gate (ENGINE 1.3).
 */
export interface TaskGraph {
  name: string;
  kind: RunKind;
  /** Names in inventory order; a node index points here. */
  nodes: readonly string[];
  sets: readonly NodeSet[];
  plays: readonly GraphPlay[];
  tasks: readonly GraphTask[];
  gates: readonly Gate[];
  /** What every agent is given; `common.tasks[i]` is the wire form of `tasks[i]`. */
  common: Common;
  /** node index -> its own variables. */
  hostVars: readonly Vars[];
  /** By node, how to put an agent on it; a node without joins by itself. Names of files with secrets, never the secrets. */
  ssh?: Readonly<Record<string, SshSettings>>;
  /** node index -> what registers hold from the start: of a rollback, what its run had bound. Absent: nothing. */
  bindings?: readonly Vars[];
  /** Of a rollback: the run that it undoes, and that run's plan, whose secrets its tasks may ask for. */
  undoes?: { run: string; plan: string };
}

export interface GraphPlay {
  index: number;
  name: string;
  /** Index into `sets`. */
  set: number;
  precheck: boolean;
  /** node index -> batch; undefined: no `serial`. */
  batchOf: Int32Array | undefined;
  batches: number;
  /** Stated budget in percent; undefined: none stated. `any_errors_fatal` is a budget of 0. */
  budget: number | undefined;
}

export interface GraphTask {
  index: number;
  play: number;
  role: string;
  name: string;
  key: string;
  action: string;
  set: number;
  /** All that comes before it; a block comes after what is in it. */
  edges: readonly Edge[];
  ignoreErrors: boolean;
  /** The wire form of its `rollback:` tasks; their keys begin with its own. Absent: none. */
  rollback?: readonly TaskSpec[];
  permit: { name: string; count: number } | undefined;
  /** A failure of it exceeds the play's budget at once (`any_errors_fatal`). */
  isFatal?: true;
}

/** `same`: the step of that task on the same node. The others go through the gate of that name. */
export interface Edge {
  task: number;
  of: 'same' | 'all' | 'first' | 'any' | 'value';
}

/** A join vertex: decided once, by the controller, for all its waiters. */
export type Gate = { id: string /** Set of nodes that wait for it. */; waiters: number } & (
  | { kind: 'all' | 'first' | 'any'; task: number }
  /** Of each waiter by itself: the controller has done the task for it. */
  | { kind: 'same'; task: number }
  | { kind: 'value'; task: number; node: number }
  | { kind: 'batch'; play: number; batch: number }
  | { kind: 'precheck' }
);
