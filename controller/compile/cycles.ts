import type { ErrorReport } from '../../shared/errors.ts';
import type { DraftTask } from './draft.ts';
import type { Edge, GraphPlay } from './graph.ts';
import type { NodeSets } from './node-set.ts';

/** An edge of the whole graph; `precheck`: the gate before every change. `node`: whose value is read. */
export type AnyEdge = { task: number; of: Edge['of'] | 'precheck'; node?: number };

/**
 * A cycle as the path a person can follow, or nothing. Batches, cross-node reads and the precheck gate take part
 * (ENGINE 1.3). `edges`: by task.
 */
export function findCycle(
  drafts: readonly DraftTask[],
  edges: readonly (readonly AnyEdge[])[],
  plays: readonly GraphPlay[],
  sets: NodeSets,
): ErrorReport | undefined {
  const sorted = sortTasks(edges);
  if ('cycle' in sorted) return cycleReport(drafts, sorted.cycle);
  for (const play of plays) {
    const deadlock = play.batches > 1 ? batchDeadlock(drafts, edges, sorted.order, play, sets) : undefined;
    if (deadlock) return deadlock;
  }
  return undefined;
}

/** Tasks in an order in which each comes after all it needs, or the first cycle met. */
function sortTasks(edges: readonly (readonly AnyEdge[])[]): { order: number[] } | { cycle: number[] } {
  const done = new Uint8Array(edges.length); // 0 new, 1 on the path, 2 done
  const order: number[] = [];
  for (let start = 0; start < edges.length; start++) {
    if (done[start] !== 0) continue;
    const path = [{ task: start, next: 0 }];
    done[start] = 1;
    for (let top = path.at(-1); top !== undefined; top = path.at(-1)) {
      const target = edges[top.task]?.[top.next]?.task;
      top.next += 1;
      if (target === undefined) {
        done[top.task] = 2;
        order.push(top.task);
        path.pop();
      } else if (done[target] === 1) {
        const from = path.findIndex(({ task }) => task === target);
        return { cycle: [...path.slice(from).map(({ task }) => task), target] };
      } else if (done[target] === 0) {
        done[target] = 1;
        path.push({ task: target, next: 0 });
      }
    }
  }
  return { order };
}

function cycleReport(drafts: readonly DraftTask[], path: readonly number[]): ErrorReport {
  const names = path.map((index) => drafts[index]?.key ?? '?');
  const first = drafts[path[0] ?? 0];
  return {
    code: 'GRAPH_CYCLE',
    message: `These tasks wait for each other: ${names.join(' -> needs -> ')}.`,
    remedy: 'Take one of these `needs` away, or state `needs: []` on the task that should come first.',
    ...(first ? { position: first.document.at } : {}),
  };
}

/** Nobody asks for the step. */
const NEVER = 2 ** 31 - 1;

/**
 * Does a batch of a play with `serial` wait, over whatever detours, for a step of a later batch of the play? That one waits
 * for it. By task and node: the earliest batch that needs the step; from the last tasks to the first. A detour over the
 * batches of another play is not seen.
 */
function batchDeadlock(
  drafts: readonly DraftTask[],
  edges: readonly (readonly AnyEdge[])[],
  order: readonly number[],
  play: GraphPlay,
  sets: NodeSets,
): ErrorReport | undefined {
  const batchOf = (node: number): number => play.batchOf?.[node] ?? -1;
  const nobody = (): Int32Array => new Int32Array(play.batchOf?.length ?? 0).fill(NEVER);
  // Undefined: nobody of the play asks for any step of the task.
  const needed = drafts.map((draft) => {
    if (draft.play !== play.index) return undefined;
    const by = nobody();
    for (const node of membersOf(draft, sets)) by[node] = batchOf(node);
    return by;
  });
  const because = new Map<number, number>();
  for (const from of order.toReversed()) {
    const by = needed[from];
    if (by === undefined) continue;
    const earliest = by.reduce((least, batch) => Math.min(least, batch), NEVER);
    for (const edge of edges[from] ?? []) {
      const target = drafts[edge.task];
      if (target === undefined) continue;
      needed[edge.task] ??= nobody();
      const there = needed[edge.task] as Int32Array;
      for (const node of decidedBy(edge, target, sets, batchOf)) {
        const batch = edge.of === 'same' ? (by[node] ?? NEVER) : earliest;
        if (batch >= (there[node] ?? NEVER)) continue;
        there[node] = batch;
        because.set(edge.task, from);
        if (target.play === play.index && batch < batchOf(node))
          return deadlockReport(drafts, because, from, edge.task, play, batch);
      }
    }
  }
  return undefined;
}

function membersOf(draft: DraftTask, sets: NodeSets): readonly number[] {
  return sets.get(draft.set).members;
}

/** The nodes whose steps decide an edge. */
function decidedBy(
  edge: AnyEdge,
  target: DraftTask,
  sets: NodeSets,
  batchOf: (node: number) => number,
): readonly number[] {
  const members = membersOf(target, sets);
  switch (edge.of) {
    case 'same':
    case 'all':
    case 'precheck':
      return members;
    case 'first':
      return members.slice(0, 1);
    case 'any':
      return [...members].sort((a, b) => batchOf(a) - batchOf(b)).slice(0, 1);
    case 'value':
      return edge.node === undefined ? [] : [edge.node];
  }
}

function deadlockReport(
  drafts: readonly DraftTask[],
  because: ReadonlyMap<number, number>,
  from: number,
  to: number,
  play: GraphPlay,
  batch: number,
): ErrorReport {
  const path = [from, to];
  for (let before = because.get(from); before !== undefined; before = because.get(before)) path.unshift(before);
  const names = path.map((index) => drafts[index]?.key ?? '?');
  const first = drafts[path[0] ?? 0];
  return {
    code: 'GRAPH_CYCLE',
    message: `The play ${play.name} runs in batches, and batch ${batch + 1} of ${play.batches} would wait for a later one: ${names.join(' -> needs -> ')}.`,
    remedy: 'Use `of: same` inside the play, or move the task into a play of its own after this one.',
    ...(first ? { position: first.document.at } : {}),
  };
}
