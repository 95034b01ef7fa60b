/** Which steps a rollback undoes, what it cannot undo, and why it may not begin (ENGINE 3.8). Pure. */
import { KkError } from '../../shared/errors.ts';
import type { GraphTask, TaskGraph } from '../compile/graph.ts';
import { type Chosen, rollbackGraph, undoOf } from '../compile/rollback.ts';
import { appliedDependents, type Dependents, dependentsIn } from '../compile/rollback-edges.ts';
import type { RunPast } from './past.ts';

/** What of a run is to be undone; nothing stated: all of it. */
export interface RollbackWish {
  /** Everything that depends on this task, the task itself not. */
  to?: string | undefined;
  /** Only these. */
  tasks: readonly string[];
  /** Only there. */
  nodes: readonly string[];
  /** Also what depends on it. */
  withDependents: boolean;
}

/** A task on some nodes, with a word about it. */
export interface TaskOnNodes {
  task: string;
  nodes: string[];
  why: string;
}

export interface RollbackPlan {
  /** The run that does it; undefined: nothing is left to undo. */
  graph: TaskGraph | undefined;
  /** What will be undone: `why` says how. */
  undoes: TaskOnNodes[];
  /** What will stay although it is chosen. */
  cannot: TaskOnNodes[];
}

const HOW = {
  restores: 'from the undo journal of the node',
  tasks: 'by its rollback tasks',
  controller: 'by the controller',
} as const;

/** Throws KkError ROLLBACK_TASK_UNKNOWN, ROLLBACK_TASK_AMBIGUOUS, ROLLBACK_NODE_UNKNOWN, ROLLBACK_DEPENDENTS. */
export function planRollback(past: RunPast, wish: RollbackWish): RollbackPlan {
  const { graph } = past;
  const dependents = dependentsIn(past);
  const chosen = choose(past, wish, dependents);
  const left = appliedDependents(past, chosen, dependents);
  if (left.length > 0 && !wish.withDependents) throw dependentsError(past, left);
  for (const { task, node } of left) chosen[task]?.add(node);

  const undoes: TaskOnNodes[] = [];
  const cannot: TaskOnNodes[] = [];
  for (const task of graph.tasks) {
    const nodes = [...(chosen[task.index] ?? [])].filter((node) => past.step(task.index, node)?.applied);
    if (nodes.length === 0) continue;
    const how = undoOf(task);
    if (how === 'restores' || how === 'tasks') {
      const by = graph.common.tasks[task.index]?.place ?? how;
      undoes.push({ task: task.key, nodes: namesOf(graph, nodes), why: HOW[by] });
    }
    if (how === 'cannot')
      cannot.push({
        task: task.key,
        nodes: namesOf(graph, nodes),
        why: `${task.action}: only rollback tasks can undo it`,
      });
    for (const [why, where] of how === 'restores' ? lostOn(past, task, nodes) : [])
      cannot.push({ task: task.key, nodes: namesOf(graph, where), why });
  }
  if (wish.to === undefined && wish.tasks.length === 0) {
    for (const { task, node } of past.gone)
      if (wish.nodes.length === 0 || wish.nodes.includes(node))
        cannot.push({ task, nodes: [node], why: 'a later revision of the run has this task no more' });
  }
  return {
    graph: undoes.length === 0 ? undefined : rollbackGraph(past, chosen, dependents),
    undoes: undoes.reverse(),
    cannot,
  };
}

function namesOf(graph: TaskGraph, nodes: readonly number[]): string[] {
  return [...nodes].sort((a, b) => a - b).map((node) => graph.nodes[node] ?? '');
}

function lostOn(past: RunPast, task: GraphTask, nodes: readonly number[]): Map<string, number[]> {
  const found = new Map<string, number[]>();
  for (const node of nodes)
    for (const why of past.step(task.index, node)?.lost ?? []) found.set(why, [...(found.get(why) ?? []), node]);
  return found;
}

function choose(past: RunPast, wish: RollbackWish, dependents: Dependents): Set<number>[] {
  const { graph } = past;
  const nodes = wish.nodes.length === 0 ? past.tookPart : nodesOf(graph, wish.nodes);
  const tasks = tasksOf(graph, wish, dependents);
  return graph.tasks.map((task) => {
    if (!tasks.has(task.index) || graph.plays[task.play]?.precheck) return new Set();
    const members = graph.sets[task.set]?.members ?? [];
    return new Set(members.filter((node) => nodes.has(node) && past.tookPart.has(node)));
  }) satisfies Chosen;
}

function nodesOf(graph: TaskGraph, names: readonly string[]): Set<number> {
  return new Set(
    names.map((name) => {
      const node = graph.nodes.indexOf(name);
      if (node >= 0) return node;
      throw new KkError({
        code: 'ROLLBACK_NODE_UNKNOWN',
        message: `The run has no node "${name}".`,
        remedy: `It has: ${graph.nodes.slice(0, 20).join(', ')}${graph.nodes.length > 20 ? ', …' : ''}.`,
      });
    }),
  );
}

function tasksOf(graph: TaskGraph, { to, tasks }: RollbackWish, dependents: Dependents): ReadonlySet<number> {
  if (tasks.length > 0) return new Set(tasks.map((name) => taskNamed(graph, name)));
  if (to === undefined) return new Set(graph.tasks.map(({ index }) => index));
  const found = new Set<number>();
  const todo = [taskNamed(graph, to)];
  for (let task = todo.pop(); task !== undefined; task = todo.pop()) {
    for (const { task: after } of dependents[task] ?? []) {
      if (found.has(after)) continue;
      found.add(after);
      todo.push(after);
    }
  }
  return found;
}

/** By its key, the end of its key (`role/id`, `id`), or its name. */
function taskNamed(graph: TaskGraph, name: string): number {
  const exact = graph.tasks.find(({ key }) => key === name);
  if (exact) return exact.index;
  const fitting = graph.tasks.filter((task) => task.key.endsWith(`/${name}`) || task.name === name);
  const [only, second] = fitting;
  if (only !== undefined && second === undefined) return only.index;
  if (only === undefined) {
    throw new KkError({
      code: 'ROLLBACK_TASK_UNKNOWN',
      message: `The run has no task "${name}".`,
      remedy: 'Give its key, as the report and `kk-controller logs` show it: play/role/task.',
    });
  }
  throw new KkError({
    code: 'ROLLBACK_TASK_AMBIGUOUS',
    message: `The run has ${fitting.length} tasks "${name}": ${fitting.map(({ key }) => key).join(', ')}.`,
    remedy: 'Give the whole key of the one that is meant.',
  });
}

function dependentsError({ graph }: RunPast, left: readonly { task: number; node: number }[]): KkError {
  const lines = [...Map.groupBy(left, ({ task }) => task)].map(
    ([task, steps]) =>
      `${graph.tasks[task]?.key} on ${namesOf(
        graph,
        steps.map(({ node }) => node),
      ).join(', ')}`,
  );
  return new KkError({
    code: 'ROLLBACK_DEPENDENTS',
    message: `${left.length === 1 ? 'A step that depends' : `${left.length} steps that depend`} on it would stay applied: ${lines.slice(0, 5).join('; ')}${lines.length > 5 ? '; …' : ''}.`,
    remedy: 'Undo them as well: --with-dependents.',
    evidence: lines.slice(0, 100).join('\n'),
  });
}
