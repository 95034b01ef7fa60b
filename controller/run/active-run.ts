import type { TaskGraph } from '../compile/graph.ts';
import type { Revision } from './events.ts';
import type { RunRecord } from './ports.ts';
import { type PushDocuments, pushDocuments } from './push.ts';
import { revisedOf } from './revise.ts';
import { newRunState, type RunState, statusOf } from './state.ts';

/** A run that has not ended, as the runner holds it. A revision replaces graph, state and all that is made of them. */
export interface ActiveRun {
  record: RunRecord;
  graph: TaskGraph;
  state: RunState;
  documents: PushDocuments;
  /** Names of the nodes that have steps in it: the locks that it takes. */
  nodes: ReadonlySet<string>;
  /** name -> index in `graph.nodes`. */
  indexes: ReadonlyMap<string, number>;
  /** Tasks that take their node down, and bring it back. */
  reboots: readonly number[];
  /** How the present revision came about; undefined: it is the first. */
  revision: Revision | undefined;
  /** The graph of a revision that is on its way into the store. */
  coming: TaskGraph | undefined;
  /** Nodes that a push was sent to, whether or not it arrived. */
  sent: Set<number>;
  /** Nodes that have an earlier revision and may be at work with it. */
  older: ReadonlySet<number>;
  /** Taken over from an earlier life of the controller: nobody knows to whom a push was on its way. */
  recovered: boolean;
  /** Events stored so far, of all revisions. */
  sequence: number;
  /** Monotonic: when this controller began to care for it. */
  sinceMs: number;
  /** Its start, its end is decided and on its way into the store. */
  starting: boolean;
  /** Its cancel is on its way into the store: nothing is pushed to nodes that had nothing before. */
  cancelling: boolean;
  ending: boolean;
}

export function newActiveRun(
  record: RunRecord,
  graph: TaskGraph,
  nowMs: number,
  revision?: Revision,
  state: RunState = newRunState(graph),
): ActiveRun {
  return {
    record: { ...record, status: statusOf(state) },
    ...ofGraph(graph, state, revision),
    coming: undefined,
    sent: new Set(),
    older: new Set(),
    recovered: false,
    sequence: 0,
    sinceMs: nowMs,
    starting: false,
    cancelling: false,
    ending: false,
  };
}

function ofGraph(graph: TaskGraph, state: RunState, revision: Revision | undefined) {
  return {
    graph,
    state,
    revision,
    documents: pushDocuments(graph, (node) => revision && revisedOf(revision, node)),
    nodes: nodesWithSteps(graph),
    reboots: graph.tasks.flatMap(({ action, index }) => (action === 'reboot' ? [index] : [])),
    indexes: new Map(graph.nodes.map((name, index) => [name, index])),
  };
}

/** Names of the nodes that a run of the graph takes. */
export function nodesWithSteps(graph: TaskGraph): Set<string> {
  const sets = new Set(graph.tasks.map(({ set }) => set));
  const nodes = new Set([...sets].flatMap((set) => graph.sets[set]?.members ?? []));
  return new Set(graph.nodes.filter((_, node) => nodes.has(node)));
}

/** The run begins anew with its next revision: queued, every step waiting. Returns the nodes that have no part in it any more. */
export function reviseRun(run: ActiveRun, revision: Revision, nowMs: number): string[] {
  const graph = run.coming ?? run.graph;
  const { nodes, graph: before } = run;
  const given = [...run.sent, ...run.older].map((node) => before.nodes[node] ?? '');
  Object.assign(run, ofGraph(graph, newRunState(graph), revision));
  run.record = { ...run.record, revision: revision.revision, status: 'queued', endedMs: undefined };
  run.older = new Set(given.flatMap((name) => run.indexes.get(name) ?? []));
  Object.assign(run, { sent: new Set(), coming: undefined, sinceMs: nowMs });
  Object.assign(run, { starting: false, ending: false, cancelling: false });
  return [...nodes].filter((name) => !run.nodes.has(name));
}

/** A run, or one that may come to be. */
export type Candidate = { record: Pick<RunRecord, 'kind'>; nodes: ReadonlySet<string> };

/**
 * The runs that a queued plan run waits for: those at work or before it in the queue that hold a node of it. All locks at
 * once or none, until the end; `exec` takes none (ENGINE 2.10). `runs` in order of arrival.
 */
export function blockersOf(run: Candidate, runs: Iterable<ActiveRun>): ActiveRun[] {
  if (run.record.kind === 'exec') return [];
  const blockers: ActiveRun[] = [];
  let isBefore = true;
  for (const other of runs) {
    if (other === run) isBefore = false;
    else if (other.record.kind !== 'exec' && (isBefore || other.starting || other.state.status === 'running')) {
      if ([...run.nodes].some((name) => other.nodes.has(name))) blockers.push(other);
    }
  }
  return blockers;
}
