import { isBlock, isRescued } from '../../shared/blocks.ts';
import { hasEnded, runHasEnded, satisfies } from '../../shared/lifecycle.ts';
import type { TaskGraph } from '../compile/graph.ts';
import type { RunEvent } from '../run/events.ts';
import type { RunRecord } from '../run/ports.ts';
import { lastRevision, presentEvents } from '../run/revise.ts';
import { type RunState, statusOf, stepState, stepsOfNode } from '../run/state.ts';
import { iso } from './times.ts';
import type { ChangeView, FailureView, RoleView, RunNodeView, RunSummary, RunView } from './types.ts';

/** Characters of diffs in one view; what is beyond has an empty `unified`, its path stays. */
const MAX_DIFFS = 4 * 1024 * 1024;

export interface RunViewExtras {
  /** The run's events in order, as far as they are in `state`. */
  events: readonly RunEvent[];
  nowMs: number;
  /** The runs that it waits for. */
  waitingFor: readonly { record: RunRecord; nodes: ReadonlySet<string> }[];
  /** Nodes that are not connected now; absent: nobody knows. */
  away?: (node: string) => boolean;
}

/** A run in a list. */
export function runSummary(record: RunRecord, nowMs: number): RunSummary {
  return {
    id: record.id,
    name: record.name,
    kind: record.kind,
    status: record.status,
    revision: record.revision,
    by: record.by,
    created: iso(record.createdMs),
    ...(record.endedMs === undefined ? {} : { ended: iso(record.endedMs) }),
    durationMs: Math.max(0, (record.endedMs ?? nowMs) - record.createdMs),
  };
}

/** The whole picture of a run in its present revision. Nodes that have nothing to do in it are left out. */
export function runView(record: RunRecord, graph: TaskGraph, state: RunState, told: RunViewExtras): RunView {
  const extras = { ...told, events: presentEvents(told.events) };
  const since = lastRevision(extras.events)?.at ?? record.createdMs;
  return {
    ...runSummary({ ...record, status: statusOf(state) }, extras.nowMs),
    durationMs: Math.max(0, (record.endedMs ?? extras.nowMs) - since),
    nodes: nodeViews(graph, state, extras.away ?? (() => false)),
    roles: roleViews(graph, state),
    failures: failureViews(graph, state, extras.events),
    changes: changeViews(graph, extras.events),
    verdicts: state.verdicts
      .toSorted((a, b) => a.node - b.node || a.task - b.task)
      .map(({ node, verdict }) => ({ node: nodeName(graph, node), ...verdict })),
    unknown: unknownViews(graph, extras.events),
    waitingFor: extras.waitingFor.map((other) => ({
      run: other.record.id,
      name: other.record.name,
      by: other.record.by,
      since: iso(other.record.createdMs),
      nodes: graph.nodes.filter((name) => other.nodes.has(name)),
    })),
    asks: asksOf(graph, state, extras.events),
    ...revisedView(graph, extras.events),
  };
}

/** What it waits for a person to confirm; a step that was begun again by another controller asks once. */
function asksOf(graph: TaskGraph, state: RunState, events: readonly RunEvent[]): RunView['asks'] {
  const asked = new Map<string, RunView['asks'][number]>();
  for (const event of events) {
    if (event.kind !== 'begun' || event.asks === undefined) continue;
    if (stepState(state, event.task, event.node) !== 'begun') continue;
    const task = graph.tasks[event.task]?.key ?? '';
    asked.set(`${event.task}@${event.node}`, { node: nodeName(graph, event.node), task, message: event.asks });
  }
  return [...asked.values()];
}

function revisedView(graph: TaskGraph, events: readonly RunEvent[]): Pick<RunView, 'revised'> {
  const revised = lastRevision(events);
  if (!revised) return {};
  const { how, by, node } = revised;
  const skip = revised.skip.map(({ task, reason, nodes }) => ({
    task: graph.tasks[task]?.key ?? '',
    reason,
    ...(nodes ? { nodes: nodes.map((index) => nodeName(graph, index)) } : {}),
  }));
  const of = node === undefined ? {} : { node: nodeName(graph, node) };
  return { revised: { how, by, at: iso(revised.at), ...of, skip } };
}

function unknownViews(graph: TaskGraph, events: readonly RunEvent[]): RunView['unknown'] {
  return events.flatMap((event) => {
    const why = event.kind === 'ended' ? event.result.unknown : undefined;
    if (event.kind !== 'ended' || why === undefined) return [];
    return [{ node: nodeName(graph, event.node), task: graph.tasks[event.task]?.key ?? '', why }];
  });
}

function nodeName(graph: TaskGraph, node: number): string {
  return graph.nodes[node] ?? `node ${node}`;
}

function nodeViews(graph: TaskGraph, state: RunState, away: (node: string) => boolean): RunNodeView[] {
  const at: string[][] = graph.nodes.map(() => []);
  for (const task of graph.tasks) {
    for (const node of graph.sets[task.set]?.members ?? []) {
      if (stepState(state, task.index, node) === 'begun') at[node]?.push(task.key);
    }
  }
  return graph.nodes.flatMap((name, node) => {
    const counts = state.counts[node];
    const pending = state.pending[node] ?? 0;
    if (!counts) return [];
    const { ok, changed, skipped, failed, ignored, rescued, kept, blocked } = counts;
    if (ok + skipped + failed + ignored + rescued + blocked + pending === 0) return [];
    const error = state.nodeErrors[node];
    return {
      node: name,
      state: nodeState(state, node, away(name)),
      ...{ ok, changed, skipped, failed, ignored, rescued, kept, blocked, pending },
      at: at[node] ?? [],
      ...(error ? { error } : {}),
    };
  });
}

function nodeState(state: RunState, node: number, isAway: boolean): string {
  const counts = state.counts[node];
  // It was asked to stop and has not heard: its commands may still be at work.
  const mayWork = (state.pending[node] ?? 0) > 0 || state.nodes[node] === 'given_up';
  if (state.cancelled && isAway && mayWork) return 'cancel undelivered';
  if (state.nodes[node] === 'given_up') return 'unreachable';
  if (state.nodes[node] === 'refused' || (counts?.failed ?? 0) > 0) return 'failed';
  if ((state.pending[node] ?? 0) > 0) {
    if (runHasEnded(state.status)) return 'cancelled';
    return state.nodes[node] === 'waiting' ? 'waiting' : 'working';
  }
  if ((counts?.blocked ?? 0) > 0) return state.cancelled ? 'cancelled' : 'blocked';
  return 'done';
}

/** In plan order; a role used twice in a play is one line. */
function roleViews(graph: TaskGraph, state: RunState): RoleView[] {
  const roles = new Map<string, RoleView>();
  for (const task of graph.tasks) {
    const play = graph.plays[task.play]?.name ?? '';
    const key = `${task.play}/${task.role}`;
    const view = roles.get(key) ?? { play, role: task.role, steps: 0, ended: 0, failed: 0 };
    roles.set(key, view);
    for (const node of graph.sets[task.set]?.members ?? []) {
      const step = stepState(state, task.index, node) ?? 'waiting';
      view.steps += 1;
      if (!hasEnded(step)) continue;
      view.ended += 1;
      if (step === 'blocked' || step === 'cancelled' || satisfies(step, task.ignoreErrors)) continue;
      // A block fails by its tasks, and what was rescued has not failed in the end.
      if (!isBlock(task) && !isRescued(stepsOfNode(state, node), task.index)) view.failed += 1;
    }
  }
  return [...roles.values()].filter((role) => role.steps > 0);
}

/** Each cause once, with how many steps it blocked; what was only blocked by another is no failure of its own. */
function failureViews(graph: TaskGraph, state: RunState, events: readonly RunEvent[]): FailureView[] {
  const failures: (FailureView & { key: string })[] = [];
  const add = (node: string, task: string, outcome: string, error: FailureView['error'], blocks: number): void => {
    // as apply-event names a step in the causes of what it blocks
    failures.push({ node, task, outcome, ...(error ? { error } : {}), blocks, key: `${task} on ${node},` });
  };
  for (const event of events) {
    if (event.kind === 'refused' || event.kind === 'given_up') {
      const left = graph.tasks.filter(({ index }) => stepState(state, index, event.node) === 'unreachable').length;
      const outcome = event.kind === 'refused' ? 'refused' : 'unreachable';
      add(nodeName(graph, event.node), '', outcome, event.error, left);
    } else if (event.kind === 'ended') {
      const task = graph.tasks[event.task];
      if (!task || satisfies(event.outcome, task.ignoreErrors)) continue;
      if (event.outcome === 'blocked' || event.outcome === 'cancelled') continue;
      if (event.result.error?.code === 'BLOCK_FAILED') continue;
      if (isRescued(stepsOfNode(state, event.node), event.task)) continue;
      add(nodeName(graph, event.node), task.key, event.outcome, event.result.error, 0);
    }
  }
  const firstOfNode = new Map(failures.toReversed().map((failure) => [failure.node, failure]));
  /** One cause blocks steps on many nodes. */
  const byCause = new Map<string, (typeof failures)[number] | undefined>();
  for (const event of events) {
    if (event.kind !== 'blocked' || event.cancelled) continue;
    if (!byCause.has(event.cause)) {
      byCause.set(
        event.cause,
        failures.find(({ key, task }) => task !== '' && event.cause.includes(key)),
      );
    }
    // The cause names the step when it came through a gate; what an agent blocks by itself follows its own failure.
    const cause = byCause.get(event.cause) ?? firstOfNode.get(nodeName(graph, event.node));
    const steps = stepsOfNode(state, event.node);
    if (cause) cause.blocks += event.tasks.filter((task) => !isRescued(steps, task)).length;
  }
  return failures.map(({ key: _, ...failure }) => failure);
}

function changeViews(graph: TaskGraph, events: readonly RunEvent[]): ChangeView[] {
  let room = MAX_DIFFS;
  return events.flatMap((event) => {
    if (event.kind !== 'ended' || event.outcome !== 'ok' || !event.result.changed || event.result.kept) return [];
    const diffs = (event.result.diffs ?? []).map(({ path, unified }) => {
      const fits = unified.length <= room;
      if (fits) room -= unified.length;
      return { path, unified: fits ? unified : '' };
    });
    return { node: nodeName(graph, event.node), task: graph.tasks[event.task]?.key ?? '', diffs };
  });
}
