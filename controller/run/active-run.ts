import type { TaskGraph } from '../compile/graph.ts';
import type { RunRecord } from './ports.ts';
import { type PushDocuments, pushDocuments } from './push.ts';
import { newRunState, type RunState } from './state.ts';

/** A run that has not ended, as the runner holds it. */
export interface ActiveRun {
  record: RunRecord;
  graph: TaskGraph;
  state: RunState;
  documents: PushDocuments;
  /** Names of the nodes that have steps in it: the locks that it takes. */
  nodes: ReadonlySet<string>;
  /** name -> index in `graph.nodes`. */
  indexes: ReadonlyMap<string, number>;
  /** Nodes that a push was sent to, whether or not it arrived. */
  sent: Set<number>;
  /** Taken over from an earlier life of the controller: nobody knows to whom a push was on its way. */
  recovered: boolean;
  /** Events stored so far. */
  sequence: number;
  /** Monotonic: when this controller began to care for it. */
  sinceMs: number;
  /** Its start, its end is decided and on its way into the store. */
  starting: boolean;
  ending: boolean;
}

export function newActiveRun(record: RunRecord, graph: TaskGraph, nowMs: number): ActiveRun {
  const state = newRunState(graph);
  return {
    record,
    graph,
    state,
    documents: pushDocuments(graph),
    nodes: new Set(graph.nodes.filter((_, node) => (state.pending[node] ?? 0) > 0)),
    indexes: new Map(graph.nodes.map((name, index) => [name, index])),
    sent: new Set(),
    recovered: false,
    sequence: 0,
    sinceMs: nowMs,
    starting: false,
    ending: false,
  };
}

/**
 * The runs that a queued plan run waits for: those at work or before it in the queue that hold a node of it. All locks at
 * once or none, until the end; `exec` takes none (ENGINE 2.10). `runs` in order of arrival.
 */
export function blockersOf(run: ActiveRun, runs: Iterable<ActiveRun>): ActiveRun[] {
  if (run.record.kind === 'exec') return [];
  const blockers: ActiveRun[] = [];
  let isBefore = true;
  for (const other of runs) {
    if (other === run) isBefore = false;
    else if (other.record.kind === 'plan' && (isBefore || other.starting || other.state.status === 'running')) {
      if ([...run.nodes].some((name) => other.nodes.has(name))) blockers.push(other);
    }
  }
  return blockers;
}
