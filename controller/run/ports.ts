import type { Facts } from '../../shared/facts.ts';
import type { RunStatus } from '../../shared/lifecycle.ts';
import type { ForAgent } from '../../shared/protocol/messages.ts';
import type { RunKind } from '../compile/graph.ts';
import type { RunEvent } from './events.ts';

/** What the runner needs from outside; `store` and `dispatch` implement it, `compose` hands it in. */

export interface RunRecord {
  id: string;
  name: string;
  kind: RunKind;
  status: RunStatus;
  /** From 1; raised by resume, retry and skip. */
  revision: number;
  createdMs: number;
  endedMs: number | undefined;
  /** Who asked, for the audit: the local user name. */
  by: string;
}

/** What a node told of itself, and when (milliseconds since 1970). */
export interface NodeFacts {
  node: string;
  atMs: number;
  facts: Facts;
}

export interface AppendBatch {
  /** Events by run, in order; `firstSequence` is the number of the first one within its run and must be the next. */
  runs: {
    run: string;
    firstSequence: number;
    events: RunEvent[];
    /** Graphs that begin with a `revised` of the events, where it is another one than before. */
    graphs?: { revision: number; graphJson: string }[];
    /** With `started` of a plan: the nodes that it takes over from the plan run that was there before. */
    takes?: readonly string[];
    /** What nodes tell of themselves in the events; the last word of each is kept beside the runs. */
    facts?: readonly NodeFacts[];
  }[];
  /** How far each agent's journal is stored now. */
  cursors: { node: string; journal: string; sequence: number }[];
}

/** A run with the graph of its present revision. */
export interface LoggedRun {
  record: RunRecord;
  graphJson: string;
}

export interface EventLog {
  createRun(record: RunRecord, graphJson: string): Promise<void>;
  /** Durable when it resolves (SQLite synchronous=FULL); all of the batch or none of it. */
  append(batch: AppendBatch): Promise<void>;
  /** Runs that have not ended, oldest first. */
  activeRuns(): Promise<LoggedRun[]>;
  find(id: string): Promise<LoggedRun | undefined>;
  /** Of all revisions, in order. */
  events(run: string): Promise<RunEvent[]>;
  /** By node, the plan run that was started there last. */
  lastPlans(): Promise<{ node: string; run: string; status: RunStatus }[]>;
}

export interface Dispatcher {
  isConnected(node: string): boolean;
  /** Encodes once and sends to those who are connected; the others are told when they are back. */
  send(nodes: readonly string[], message: ForAgent): void;
  /** Tells a node that this journal of it is stored up to `sequence`; not told to a node that has come with another one. */
  ack(node: string, journal: string, sequence: number): void;
  /** Milliseconds (monotonic) since the node's last answered heartbeat; undefined: never in this life of the controller. */
  silentFor(node: string): number | undefined;
}

export interface Clock {
  /** Wall clock: for records. */
  nowMs(): number;
  /** Monotonic: for durations. */
  monotonicMs(): number;
}
