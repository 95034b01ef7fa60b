import type { Common, Vars } from '../../shared/share.ts';
import type { NodeSet } from './node-set.ts';

/**
 * The task graph: tasks x node sets, acyclic, frozen. A step is a pair (task index, node index). Steps and edges are never
 * materialised: an edge is a relation between tasks, and all that crosses nodes passes through a gate (ENGINE 1.3).
 */
export interface TaskGraph {
  name: string;
  kind: 'plan' | 'exec';
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
  edges: readonly Edge[];
  ignoreErrors: boolean;
  permit: { name: string; count: number } | undefined;
}

/** `same`: the step of that task on the same node. The others go through the gate of that name. */
export interface Edge {
  task: number;
  of: 'same' | 'all' | 'first' | 'any' | 'value';
}

/** A join vertex: decided once, by the controller, for all its waiters. */
export type Gate = { id: string /** Set of nodes that wait for it. */; waiters: number } & (
  | { kind: 'all' | 'first' | 'any'; task: number }
  | { kind: 'value'; task: number; node: number }
  | { kind: 'batch'; play: number; batch: number }
  | { kind: 'precheck' }
);
