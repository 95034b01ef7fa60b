import type { TaskGraph } from './graph.ts';
import { contains } from './node-set.ts';
import type { Chosen, Past } from './rollback.ts';

/**
 * Who depends on a task. `same`: its step on the same node. `all`: every step of it. `from`: only the step on this node is
 * depended upon, the others are not; absent: all are.
 */
export interface Dependent {
  task: number;
  of: 'same' | 'all';
  from?: number;
}

/** By task. */
export type Dependents = readonly (readonly Dependent[])[];

/**
 * The run's edges seen from the other end. A read, `first` and `any` lean on one node's step; since undoing in batches goes
 * the other way round, that must be kept apart there (all would wait for a batch that waits for it). Everywhere else they
 * are taken as `all`, which is simpler to follow.
 */
export function dependentsIn({ graph, firstOk }: Pick<Past, 'graph' | 'firstOk'>): Dependents {
  const exact = graph.plays.some((play) => play.batches > 1);
  const found: Dependent[][] = graph.tasks.map(() => []);
  const add = (on: number, { task, of, from }: Dependent): void => {
    const list = found[on];
    const one: Dependent = { task, of, ...(from === undefined || !exact ? {} : { from }) };
    if (on !== task && list && !list.some((other) => isAlike(other, one))) list.push(one);
  };
  for (const { index, edges } of graph.tasks) {
    for (const edge of edges) {
      if (edge.of === 'same') add(edge.task, { task: index, of: 'same' });
      else
        for (const from of leanedOn(graph, index, edge.task, edge.of, firstOk))
          add(edge.task, { task: index, of: 'all', ...from });
    }
  }
  return found;
}

/** The nodes whose step alone an edge leans on; `[{}]`: on all. */
function leanedOn(
  graph: TaskGraph,
  task: number,
  target: number,
  of: 'all' | 'first' | 'any' | 'value',
  firstOk: Past['firstOk'],
): { from?: number }[] {
  const on = (node: number | undefined): { from?: number }[] => [node === undefined ? {} : { from: node }];
  if (of === 'all') return [{}];
  if (of === 'first') return on(graph.sets[graph.tasks[target]?.set ?? -1]?.members[0]);
  if (of === 'any') return on(firstOk(target));
  const reads = graph.common.tasks[task]?.reads.filter(({ gate }) => gate.startsWith(`value/${target}@`)) ?? [];
  // What a block around the task reads is not among its own.
  return reads.length === 0 ? [{}] : reads.map(({ node }) => ({ from: graph.nodes.indexOf(node) }));
}

function isAlike(a: Dependent, b: Dependent): boolean {
  return a.task === b.task && a.of === b.of && a.from === b.from;
}

/** A task of the run with what must be undone before it. */
export interface Composed {
  task: number;
  needs: readonly Dependent[];
}

/**
 * The tasks in an order in which each comes after all that depend on it. Where a task's steps are left out (not chosen, or
 * their node took no part), what depends on it counts as depending on what it depends on: with `through`, order is kept
 * through it.
 */
export function composed(
  graph: TaskGraph,
  chosen: Chosen,
  dependents: Dependents,
  { through: isThrough }: { through: boolean },
): Composed[] {
  const takesPart = new Set(chosen.flatMap((nodes) => [...nodes]));
  const needs = new Map<number, Dependent[]>();
  const order = dependentsFirst(dependents);
  for (const task of order) {
    const own: Dependent[] = [];
    const add = (one: Dependent): void => {
      if (!own.some((other) => isAlike(other, one))) own.push(one);
    };
    for (const first of dependents[task] ?? []) {
      const { members } = graph.sets[graph.tasks[first.task]?.set ?? -1] ?? { members: [] };
      const kept = chosen[first.task] ?? new Set();
      if (kept.size > 0) add(first);
      if (!isThrough || (members.every((node) => kept.has(node)) && members.length > 0)) continue;
      // A node without any part in it has no order of its own to be kept.
      const isSameLeftOut = kept.size === 0 || members.some((node) => !kept.has(node) && takesPart.has(node));
      for (const second of needs.get(first.task) ?? []) {
        const both = through(first, second);
        if (both.of === 'all' || isSameLeftOut) add(both);
      }
    }
    needs.set(task, own);
  }
  return order.map((task) => ({ task, needs: needs.get(task) ?? [] }));
}

/** `first` depends on a task, `second` on `first`: how `second` depends on that task. */
function through(first: Dependent, second: Dependent): Dependent {
  const { task } = second;
  if (first.from !== undefined) return { task, of: 'all', from: first.from };
  if (first.of === 'all') return { task, of: 'all' };
  return second;
}

function dependentsFirst(dependents: Dependents): number[] {
  const order: number[] = [];
  const seen = new Uint8Array(dependents.length);
  // From the last task on: plans are written in order, so the rollback reads as the run from its end.
  for (let start = dependents.length - 1; start >= 0; start--) {
    const path = seen[start] === 0 ? [{ task: start, next: 0 }] : [];
    seen[start] = 1;
    for (let top = path.at(-1); top !== undefined; top = path.at(-1)) {
      const next = dependents[top.task]?.[top.next]?.task;
      top.next += 1;
      if (next === undefined) {
        order.push(top.task);
        path.pop();
      } else if (seen[next] === 0) {
        seen[next] = 1;
        path.push({ task: next, next: 0 });
      }
    }
  }
  return order;
}

/**
 * The applied steps that lean, over whatever detours, on a chosen one and are not chosen themselves: as long as they stay,
 * what they lean on must stay, too.
 */
export function appliedDependents(
  past: Past,
  chosen: Chosen,
  dependents: Dependents,
): { task: number; node: number }[] {
  const { graph } = past;
  const found: { task: number; node: number }[] = [];
  const seen = new Set<number>();
  const todo: { task: number; node: number }[] = [];
  chosen.forEach((nodes, task) => {
    for (const node of nodes) if (past.step(task, node)?.applied) todo.push({ task, node });
  });
  for (let step = todo.pop(); step !== undefined; step = todo.pop()) {
    for (const { task, of, from } of dependents[step.task] ?? []) {
      if (from !== undefined && from !== step.node) continue;
      const set = graph.sets[graph.tasks[task]?.set ?? -1];
      if (set === undefined) continue;
      for (const node of of === 'all' ? set.members : contains(set, step.node) ? [step.node] : []) {
        const id = task * graph.nodes.length + node;
        if (seen.has(id)) continue;
        seen.add(id);
        todo.push({ task, node });
        if (past.step(task, node)?.applied && !chosen[task]?.has(node)) found.push({ task, node });
      }
    }
  }
  return found.sort((a, b) => a.task - b.task || a.node - b.node);
}
