import { hasEnded } from '../../shared/lifecycle.ts';
import type { Revised } from '../../shared/share.ts';
import type { GraphTask, TaskGraph } from '../compile/graph.ts';
import type { ActiveRun } from './active-run.ts';
import { applyEvent } from './apply-event.ts';
import type { Revision, RunEvent } from './events.ts';
import { newRunState, type RunState, stepState } from './state.ts';

/** The last revision that the events tell of; undefined: the run is as it was first applied. */
export function lastRevision(events: readonly RunEvent[]): Revision | undefined {
  return events.findLast((event) => event.kind === 'revised');
}

/** The events of the last revision, that which began it included: all that its state is made of. */
export function presentEvents(events: readonly RunEvent[]): readonly RunEvent[] {
  const at = events.findLastIndex((event) => event.kind === 'revised');
  return at < 0 ? events : events.slice(at);
}

/** May nodes have something of the run to do? Also of the revision before one that has not begun. */
export function wasAtWork(events: readonly RunEvent[]): boolean {
  return events.findLast(({ kind }) => kind === 'started' || kind === 'finished')?.kind === 'started';
}

/** The state that the events of a run lead to; `graph`: of its last revision. */
export function replay(graph: TaskGraph, events: readonly RunEvent[]): RunState {
  const state = newRunState(graph);
  for (const event of presentEvents(events)) applyEvent(state, event);
  return state;
}

/** What the share of a node says of its earlier steps. */
export function revisedOf(revision: Revision, node: number): Revised {
  const isHere = ({ nodes }: { nodes?: number[] }): boolean => nodes === undefined || nodes.includes(node);
  return {
    retryFailed: revision.retry?.includes(node) ?? true,
    rerun: revision.rerun.filter(isHere).map(({ task }) => task),
    skip: revision.skip.filter(isHere).map(({ task, reason }) => ({ task, reason })),
  };
}

/** Finds the tasks and nodes of one graph in another one: by key, by name. */
export function translation(from: TaskGraph, to: TaskGraph): Translation {
  const keys = new Map(to.tasks.map((task) => [task.key, task.index]));
  const names = new Map(to.nodes.map((name, index) => [name, index]));
  return {
    task: (index) => keys.get((from.tasks[index] as GraphTask | undefined)?.key ?? ''),
    node: (index) => names.get(from.nodes[index] ?? ''),
  };
}

export interface Translation {
  /** Undefined: there is none such in the other graph. */
  task(index: number): number | undefined;
  node(index: number): number | undefined;
}

/** Is there anything in the run that a node which has lost its journal knows no more? */
export function losesBy({ record, state }: ActiveRun, node: number): boolean {
  return record.kind === 'plan' && state.status === 'running' && !state.cancelled && state.nodes[node] === 'accepted';
}

/** The next revision of a run of which a node has lost its journal: of the others' steps nothing is tried again. */
export function afterLoss({ state, graph, revision }: ActiveRun, node: number) {
  // What was asked to run again, and has not come so far, still is.
  const rerun = (revision?.rerun ?? []).map(({ task, nodes = [...graph.nodes.keys()] }) => ({
    task,
    nodes: nodes.filter((one) => stepState(state, task, one) === 'waiting'),
  }));
  return { how: 'voided' as const, by: '', node, retry: [], rerun, skip: revision?.skip ?? [] };
}

/** What persons have confirmed, as the next graph counts. */
export function answersCarried(state: RunState, to: TaskGraph): Pick<Revision, 'answers'> {
  const { task: taskOf, node: nodeOf } = translation(state.graph, to);
  const answers = [...state.answers].flatMap(([key, answer]) => {
    const [task, node] = key.split('@').map(Number);
    const [nowTask, nowNode] = [taskOf(task ?? -1), nodeOf(node ?? -1)];
    return nowTask === undefined || nowNode === undefined ? [] : [{ ...answer, task: nowTask, node: nowNode }];
  });
  return answers.length > 0 ? { answers } : {};
}

/** What failed of the controller's own for nodes that are not to try again, as the next graph counts: agents know theirs. */
export function failuresKept(state: RunState, to: TaskGraph, retry: Revision['retry']): Pick<Revision, 'failures'> {
  const { task: taskOf, node: nodeOf } = translation(state.graph, to);
  const failures = [...state.failures].flatMap(([key, result]) => {
    const [task, node] = key.split('@').map(Number);
    const [nowTask, nowNode] = [taskOf(task ?? -1), nodeOf(node ?? -1)];
    if (nowTask === undefined || nowNode === undefined || (retry?.includes(nowNode) ?? true)) return [];
    return [{ task: nowTask, node: nowNode, result }];
  });
  return failures.length > 0 ? { failures } : {};
}

/** What a person took out stays out, and who holds a permit keeps it: both as the next graph counts. */
export function carried(
  state: RunState,
  before: Revision | undefined,
  to: TaskGraph,
): Pick<Revision, 'skip' | 'permits'> {
  const { task: taskOf, node: nodeOf } = translation(state.graph, to);
  const skip = (before?.skip ?? []).flatMap(({ task, nodes, ...rest }): Revision['skip'] => {
    const now = taskOf(task);
    if (now === undefined) return [];
    return [{ task: now, ...rest, ...(nodes ? { nodes: nodes.flatMap((node) => nodeOf(node) ?? []) } : {}) }];
  });
  const holders = [...state.permits.values()].flatMap((permit) => [...permit.holders]);
  const permits = holders.flatMap((holder) => {
    const [task = -1, node = -1] = holder.split('@').map(Number);
    const [nowTask, nowNode] = [taskOf(task), nodeOf(node)];
    if (nowTask === undefined || nowNode === undefined) return [];
    const hasFailed = hasEnded(stepState(state, task, node) ?? 'ok');
    return [{ task: nowTask, node: nowNode, ...(hasFailed ? { failed: true as const } : {}) }];
  });
  return { skip, permits };
}
