/** How a run must end and how long it must take at least, worked out from its graph without any part of the engine. */
import type { GraphTask, TaskGraph } from '../../controller/compile/graph.ts';

/** How a step's work goes, if it is done at all. */
export interface Step {
  durationMs: number;
  ok: boolean;
}

export interface Modelled {
  /** task -> node -> how it ends; absent: the task does not run there. */
  ends: Map<number, 'ok' | 'failed' | 'blocked'>[];
  /** The longest way through the graph: no engine can be faster, however many hands it has. */
  criticalPathMs: number;
}

/**
 * For graphs of steps that follow each other on a node, with gates `all`, `first` and `any` between nodes; no permits,
 * batches, prechecks and ignored errors. A failed step stops its node (ENGINE 2.5); an `all` gate shuts on failures beyond
 * the stated budget of its target's play (ENGINE 1.2).
 */
export function model(graph: TaskGraph, stepOf: (node: number, task: number) => Step): Modelled {
  const ends: Modelled['ends'] = graph.tasks.map(() => new Map());
  const times = graph.tasks.map(() => new Map<number, number>());
  const failedNodes = new Set<number>();
  let criticalPathMs = 0;
  for (const task of graph.tasks) {
    const gates = task.edges.filter((edge) => edge.of !== 'same').map((edge) => gateOf(graph, edge, ends, times));
    const ready = Math.max(0, ...gates.map((gate) => gate.atMs));
    const shut = gates.some((gate) => !gate.open);
    for (const node of membersOf(graph, task)) {
      const same = task.edges.filter((edge) => edge.of === 'same' && ends[edge.task]?.has(node));
      const blocked = shut || failedNodes.has(node) || same.some((edge) => ends[edge.task]?.get(node) !== 'ok');
      const begin = Math.max(ready, ...same.map((edge) => times[edge.task]?.get(node) ?? 0));
      const { durationMs, ok } = blocked ? { durationMs: 0, ok: false } : stepOf(node, task.index);
      ends[task.index]?.set(node, blocked ? 'blocked' : ok ? 'ok' : 'failed');
      times[task.index]?.set(node, begin + durationMs);
      if (!blocked && !ok) failedNodes.add(node);
      if (!blocked) criticalPathMs = Math.max(criticalPathMs, begin + durationMs);
    }
  }
  return { ends, criticalPathMs };
}

function membersOf(graph: TaskGraph, task: GraphTask): readonly number[] {
  return graph.sets[task.set]?.members ?? [];
}

function gateOf(
  graph: TaskGraph,
  edge: GraphTask['edges'][number],
  ends: Modelled['ends'],
  times: readonly Map<number, number>[],
): { open: boolean; atMs: number } {
  const target = graph.tasks[edge.task];
  if (target === undefined) throw new Error(`there is no task ${edge.task}`);
  const members = membersOf(graph, target);
  const isOk = (node: number): boolean => ends[edge.task]?.get(node) === 'ok';
  const at = (node: number): number => times[edge.task]?.get(node) ?? 0;
  switch (edge.of) {
    case 'all': {
      const failures = members.filter((node) => !isOk(node)).length;
      const budget = graph.plays[target.play]?.budget ?? 0;
      return { open: failures * 100 <= budget * members.length, atMs: Math.max(0, ...members.map(at)) };
    }
    case 'first': {
      const [first = -1] = members;
      return { open: isOk(first), atMs: at(first) };
    }
    case 'any': {
      const good = members.filter(isOk);
      return { open: good.length > 0, atMs: Math.min(...good.map(at)) };
    }
    default:
      throw new Error(`the model does not know edges of kind ${edge.of}`);
  }
}
