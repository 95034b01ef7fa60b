/** The tasks of the controller's own in a graph, and what touches their steps. Pure. */
import type { TaskSpec } from '../../../shared/share.ts';
import type { TaskGraph } from '../../compile/graph.ts';

export interface Step {
  task: number;
  node: number;
}

/** What is known of the controller's own tasks in a run. */
export interface LocalSteps {
  /** Their indexes. */
  tasks: readonly number[];
  /** task -> those that need its step on the same node. */
  afterTask: ReadonlyMap<number, readonly number[]>;
  /** gate -> those that wait for it. */
  afterGate: ReadonlyMap<string, readonly number[]>;
  /** By `task@node`: something that they wait for has happened since they were looked at. */
  touched: Map<string, Step>;
}

/** All steps of the controller's own, to be looked at when the run starts. */
export function newLocalSteps(graph: TaskGraph): LocalSteps {
  const specs = graph.common.tasks;
  const tasks = [...specs.keys()].filter((task) => specs[task]?.place !== undefined);
  const afterTask = new Map<number, number[]>();
  const afterGate = new Map<string, number[]>();
  const add = <K>(map: Map<K, number[]>, key: K, task: number): unknown =>
    map.set(key, [...(map.get(key) ?? []), task]);
  const touched: LocalSteps['touched'] = new Map();
  for (const task of tasks) {
    const spec = specs[task] as TaskSpec;
    for (const need of spec.needs) if ('task' in need) add(afterTask, need.task, task);
    const batches = graph.plays[spec.play]?.batches ?? 0;
    const batchGates = Array.from({ length: Math.max(0, batches - 1) }, (_, batch) => `batch/${spec.play}/${batch}`);
    for (const gate of new Set([...gatesOf(spec), ...batchGates])) add(afterGate, gate, task);
    for (const node of membersOf(graph, task)) touched.set(`${task}@${node}`, { task, node });
  }
  return { tasks, afterTask, afterGate, touched };
}

/** The gates that a task waits for, those of its play's batches not counted. */
export function gatesOf(spec: TaskSpec): string[] {
  const ofNeeds = spec.needs.flatMap((need) => ('gate' in need ? [need.gate] : []));
  return [...ofNeeds, ...spec.reads.flatMap(({ gate, known }) => (known === undefined ? [gate] : []))];
}

export function membersOf(graph: TaskGraph, task: number): readonly number[] {
  return graph.sets[graph.tasks[task]?.set ?? -1]?.members ?? [];
}
