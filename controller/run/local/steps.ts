/** Which steps of the controller's own may start now, and which never will. Pure: they are looked at when something touched them. */
import { failureAmong } from '../../../shared/blocks.ts';
import { hasEnded, satisfies } from '../../../shared/lifecycle.ts';
import type { TaskSpec } from '../../../shared/share.ts';
import { type RunState, stepState, stepsOfNode } from '../state.ts';
import { gatesOf, membersOf, type Step } from './tasks.ts';

/** A step has ended: those that need it on its node, and when it failed all that are done for the node. */
export function touchAfterStep(state: RunState, { task, node }: Step, isGood: boolean): void {
  const { tasks, afterTask } = state.locals;
  for (const after of isGood ? (afterTask.get(task) ?? []) : tasks) touch(state, after, node);
}

/** A gate is decided, or something that holds for all nodes has changed. */
export function touchAll(state: RunState, tasks: readonly number[] = state.locals.tasks): void {
  for (const task of tasks) for (const node of membersOf(state.graph, task)) touch(state, task, node);
}

function touch(state: RunState, task: number, node: number): void {
  const step = stepState(state, task, node);
  if (step === 'waiting') state.locals.touched.set(`${task}@${node}`, { task, node });
}

export interface LocalDecisions {
  /** Also those that have begun in an earlier life of the controller: they are repeatable. */
  start: Step[];
  blocked: (Step & { cause: string; cancelled: boolean })[];
}

/** Looks at what was touched. `mayStart`: false of a node that is held; it is looked at again. */
export function decideLocal(state: RunState, mayStart: (node: number) => boolean): LocalDecisions {
  const decisions: LocalDecisions = { start: [], blocked: [] };
  if (state.status !== 'running') return decisions;
  for (const [key, step] of state.locals.touched) {
    const now = stepState(state, step.task, step.node);
    const turn = now === undefined || hasEnded(now) ? 'over' : turnOf(state, step, now === 'begun');
    if (turn === 'start' && !mayStart(step.node)) continue;
    state.locals.touched.delete(key);
    if (turn === 'start') decisions.start.push(step);
    else if (typeof turn === 'object') decisions.blocked.push({ ...step, ...turn });
  }
  return decisions;
}

type Turn = 'start' | 'later' | { cause: string; cancelled: boolean };

function turnOf(state: RunState, { task, node }: Step, hasBegun: boolean): Turn {
  const { graph } = state;
  const spec = graph.common.tasks[task] as TaskSpec;
  const blocked = (cause: string): Turn => ({ cause, cancelled: false });
  if (state.cancelled) return { cause: 'the run was cancelled', cancelled: true };
  if (hasBegun) return 'start';
  const stopped = state.stopped.get(spec.play);
  if (stopped !== undefined) return blocked(stopped);
  const steps = stepsOfNode(state, node);
  const outer = graph.tasks.flatMap(({ index }) => (steps.tasks[index]?.within === undefined ? [index] : []));
  const failed = failureAmong(steps, outer);
  if (failed !== undefined) return blocked(causeOf(state, { task: failed, node }));
  let isLater = false;
  for (const need of spec.needs) {
    if (!('task' in need)) continue;
    const before = stepState(state, need.task, node);
    if (before === undefined || satisfies(before, graph.tasks[need.task]?.ignoreErrors ?? false)) continue;
    if (hasEnded(before)) return blocked(causeOf(state, { task: need.task, node }));
    isLater = true;
  }
  const batch = graph.plays[spec.play]?.batchOf?.[node] ?? 0;
  for (const id of [...gatesOf(spec), ...(batch > 0 ? [`batch/${spec.play}/${batch - 1}`] : [])]) {
    const gate = state.gates.get(id);
    if (gate?.status === 'closed') return blocked(gate.cause);
    if (gate?.status === 'shut') isLater = true;
  }
  return isLater ? 'later' : 'start';
}

function causeOf(state: RunState, { task, node }: Step): string {
  const known = state.causes.get(`${task}@${node}`);
  const { tasks, nodes } = state.graph;
  return known ?? `needs ${tasks[task]?.key} on ${nodes[node]}, ${stepState(state, task, node)}`;
}
