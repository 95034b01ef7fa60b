/**
 * The graph of a rollback (ENGINE 3.8): the run's own graph, backwards. For each task that B needs of A, undoing A needs B
 * undone. Pure.
 */
import { contractOf, lockOf } from '../../shared/actions/index.ts';
import { BLOCK, blocksAround } from '../../shared/blocks.ts';
import type { Json, TaskSpec, Vars } from '../../shared/share.ts';
import { gatesOf } from './gates.ts';
import type { Edge, GraphPlay, GraphTask, TaskGraph } from './graph.ts';
import { NodeSets } from './node-set.ts';
import { type Composed, composed, type Dependent, type Dependents } from './rollback-edges.ts';
import { needOf } from './spec.ts';
import { terminates } from './terminates.ts';

/** What became of a step of the run, over all of its revisions. */
export interface PastStep {
  /** It may have changed the node, and what it did has not been undone. */
  applied: boolean;
  /** Value of its register, where it came with the end. */
  register?: Json;
  /** What `set_fact` bound. */
  bound?: Vars;
  /** Changes that the node could not keep an image of, each with why. */
  lost: readonly string[];
}

/** A run that has ended, as a rollback sees it. */
export interface Past {
  run: string;
  graph: TaskGraph;
  /** Of node `node` and task `task`; undefined: its step never began. */
  step(task: number, node: number): PastStep | undefined;
  /** The node whose step of the task was the first to end ok. */
  firstOk(task: number): number | undefined;
}

/** The steps to undo: node indexes by task. */
export type Chosen = readonly ReadonlySet<number>[];

/** How a task is undone: from the node's undo journal, by its `rollback:` tasks, not at all because nothing stays, or not. */
export function undoOf(task: GraphTask): 'restores' | 'tasks' | 'nothing' | 'cannot' {
  if (task.rollback !== undefined) return 'tasks';
  return contractOf(task.action)?.undo ?? 'nothing';
}

/** The run's name in lists, and how rollbacks of a run are found again. */
export function rollbackName(run: string): string {
  return `rollback of ${run}`;
}

/** A task of the rollback before it has an index: one part of a task of the run. */
interface Part {
  task: GraphTask;
  nodes: readonly number[];
  needs: readonly Dependent[];
  key: string;
}

/**
 * The graph that undoes the chosen steps. Order is kept through steps that are left out, unless a play in batches makes that
 * impossible: then what leans on nothing but what is left out is undone beside it.
 */
export function rollbackGraph(past: Past, chosen: Chosen, dependents: Dependents): TaskGraph {
  const graph = graphOf(past, chosen, composed(past.graph, chosen, dependents, { through: true }));
  if (graph.plays.every(({ batches }) => batches === 0) || terminates(graph)) return graph;
  return graphOf(past, chosen, composed(past.graph, chosen, dependents, { through: false }));
}

function graphOf(past: Past, chosen: Chosen, order: readonly Composed[]): TaskGraph {
  const { graph } = past;
  const sets = new NodeSets(graph.nodes.length);
  const plays = reversedPlays(graph, chosen, sets);
  const parts = order.flatMap(({ task, needs }) => partsOf(graph, task, chosen, needs));

  const specs: TaskSpec[] = [];
  const tasks: GraphTask[] = [];
  /** Where the undo of a task stands: with one index for each of its parts. */
  const at = new Map<number, number[]>();
  const add = (part: Part, spec: TaskSpec, nodes: readonly number[], edges: Edge[]): number => {
    const index = tasks.length;
    const play = graph.plays.length - 1 - part.task.play;
    const isLocal = (task: number): boolean => specs[task]?.place !== undefined;
    const needs = edges.map((edge) => needOf(edge, spec.place === undefined && isLocal(edge.task)));
    specs.push({ ...spec, play, needs });
    const { role } = part.task;
    const { key, name, action, permit } = spec;
    const set = sets.intern(nodes);
    tasks.push({ index, play, role, name, key, action, set, edges, ignoreErrors: spec.ignoreErrors, permit });
    return index;
  };
  for (const part of parts) {
    const { task } = part;
    const edges = part.needs.flatMap(({ task: before, of }) =>
      (at.get(before) ?? []).map((index): Edge => ({ task: index, of })),
    );
    let last: number[] = [];
    for (const [number, spec] of (task.rollback ?? []).entries()) {
      const nodes = part.nodes.filter((node) => past.step(task.index, node)?.applied);
      if (nodes.length === 0) break;
      const before = number === 0 ? edges : last.map((index): Edge => ({ task: index, of: 'same' }));
      const key = `${part.key}${spec.key.slice(task.key.length)}`;
      last = [add(part, { ...valued(past, { ...spec, key }), ...permitOf(graph, task) }, nodes, before)];
    }
    const all = [...edges, ...last.map((index): Edge => ({ task: index, of: 'same' }))];
    const index = add(part, undoSpec(past, part), part.nodes, all);
    at.set(task.index, [...(at.get(task.index) ?? []), index]);
  }
  return Object.freeze({
    name: rollbackName(past.run),
    kind: 'plan' as const,
    nodes: graph.nodes,
    sets: sets.sets,
    plays,
    tasks,
    gates: gatesOf(tasks, specs, plays, sets, graph.nodes),
    common: { ...graph.common, tasks: specs },
    hostVars: graph.hostVars,
    bindings: bindingsOf(past),
    undoes: { run: past.run, plan: graph.name },
  });
}

/** One part, or one for each node whose step alone is depended upon, and one for the others. */
function partsOf(graph: TaskGraph, index: number, chosen: Chosen, needs: readonly Dependent[]): Part[] {
  const task = graph.tasks[index];
  const nodes = [...(chosen[index] ?? [])].sort((a, b) => a - b);
  if (task === undefined || nodes.length === 0) return [];
  const alone = [...new Set(needs.flatMap(({ from }) => from ?? []))].filter((node) => nodes.includes(node));
  const of = (node: number | undefined) => needs.filter(({ from }) => from === undefined || from === node);
  const rest = nodes.filter((node) => !alone.includes(node));
  return [
    ...(rest.length === 0 ? [] : [{ task, nodes: rest, needs: of(undefined), key: task.key }]),
    ...alone.map((node) => ({ task, nodes: [node], needs: of(node), key: `${task.key}@${graph.nodes[node]}` })),
  ];
}

/** The plays from the last to the first; of one in batches the last batch comes first, those without a chosen step are gone. */
function reversedPlays(graph: TaskGraph, chosen: Chosen, sets: NodeSets): GraphPlay[] {
  return graph.plays.toReversed().map((play, index): GraphPlay => {
    const tasks = graph.tasks.filter((task) => task.play === play.index);
    const nodes = new Set(tasks.flatMap((task) => [...(chosen[task.index] ?? [])]));
    const { batchOf } = play;
    const batches = batchOf ? [...new Set([...nodes].map((node) => batchOf[node] ?? -1))] : [];
    const order = batches.filter((batch) => batch >= 0).sort((a, b) => b - a);
    return {
      index,
      name: play.name,
      set: sets.intern(nodes),
      precheck: false,
      batchOf: batchOf && order.length > 1 ? batchOf.map((batch) => order.indexOf(batch)) : undefined,
      batches: order.length > 1 ? order.length : 0,
      budget: undefined,
    };
  });
}

/** The step that asks the node to undo what it remembers of a step; also where that is nothing, so that order is kept. */
function undoSpec(past: Past, { task, key }: Part): TaskSpec {
  const { tasks } = past.graph.common;
  const spec = tasks[task.index] as TaskSpec;
  const { role, file, at, alone, sensitive } = spec;
  const lock = spec.lock ?? lockOf(spec.action);
  return {
    key,
    name: `undo ${task.name}`,
    ...{ play: 0, role, file, at },
    action: 'undo',
    ...(spec.place ? { place: spec.place } : {}),
    inputs: undoInputs(past, task, spec),
    ...{ places: {}, needs: [], when: [], reads: [], retries: 0, delay: 0, timeout: 0 },
    ...{ failedWhen: [], changedWhen: [], vars: {}, ignoreErrors: false },
    ...(lock === undefined ? {} : { lock }),
    ...permitOf(past.graph, task),
    ...{ alone, sensitive, onInterrupt: 'rerun' as const },
  };
}

function undoInputs({ run, graph }: Past, task: GraphTask, { place, action }: TaskSpec): Json {
  // The controller keeps no journal of what it did: it is told what, and for which plan.
  if (place) return { run, task: task.key, action, plan: graph.name };
  return { run, task: task.key, ...(task.rollback === undefined ? {} : { replaced: true }) };
}

/** A task in a block does its work on the block's permit. */
function permitOf({ common }: TaskGraph, { index, action }: GraphTask): Pick<TaskSpec, 'permit'> {
  if (action === BLOCK) return {};
  const around = [...blocksAround(common.tasks, index)].map(({ block }) => block);
  const permit = [index, ...around].flatMap((task) => common.tasks[task]?.permit ?? [])[0];
  return permit === undefined ? {} : { permit };
}

/** A `rollback:` task with the other nodes' values that the run knew: there is no gate any more that brings them. */
function valued(past: Past, spec: TaskSpec): TaskSpec {
  const { graph } = past;
  const reads = spec.reads.map((read) => {
    const [, task] = /^value\/(\d+)@/.exec(read.gate) ?? [];
    const value = past.step(Number(task), graph.nodes.indexOf(read.node))?.register;
    return { ...read, known: value === undefined ? {} : { value } };
  });
  return { ...spec, reads };
}

/** What the run's tasks had bound on each node when it ended, as far as the controller was told. */
function bindingsOf({ graph, step }: Past): Vars[] {
  if (!graph.tasks.some((task) => task.rollback !== undefined)) return [];
  return graph.nodes.map((_, node) => {
    const bound: Vars = {};
    for (const { index } of graph.tasks) {
      const past = step(index, node);
      const name = graph.common.tasks[index]?.register?.name;
      if (past?.register !== undefined && name !== undefined) bound[name] = past.register;
      Object.assign(bound, past?.bound);
    }
    return bound;
  });
}
