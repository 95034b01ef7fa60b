import { stops } from '../../shared/checks/outcome.ts';
import type { ErrorReport } from '../../shared/errors.ts';
import {
  hasEnded,
  STEP_STATES,
  STEP_TRANSITIONS,
  type StepOutcome,
  type StepState,
  satisfies,
} from '../../shared/lifecycle.ts';
import type { Gate, GraphTask } from '../compile/graph.ts';
import { isWithinBudget } from './budget.ts';
import type { RunEvent } from './events.ts';
import { type GateState, newPermit, type RunState, stepIndex, stepState } from './state.ts';

/**
 * Brings one event into the state. The same function rebuilds a run from the store, so it is deterministic and does no I/O;
 * it updates in place. An event that the lifecycle does not allow (a duplicate, a late one) changes nothing.
 */
export function applyEvent(state: RunState, event: RunEvent): void {
  switch (event.kind) {
    case 'started':
      if (state.status === 'queued') state.status = 'running';
      return;
    case 'accepted':
      if (state.nodes[event.node] === 'waiting') state.nodes[event.node] = 'accepted';
      return;
    case 'begun':
      moveStep(state, event.task, event.node, 'begun');
      return;
    case 'ended':
      endStep(state, event);
      return;
    case 'blocked':
      for (const task of event.tasks)
        settle(state, task, event.node, event.cancelled ? 'cancelled' : 'blocked', event.cause);
      return;
    case 'refused':
    case 'given_up':
      giveUp(state, event.node, event.kind, event.error);
      return;
    case 'permit_granted':
      grantPermit(state, event.task, event.node);
      return;
    case 'cancel':
      cancelRun(state);
      return;
    case 'finished':
      state.status = event.status;
      return;
    case 'facts':
    case 'bootstrap':
      return;
  }
}

function endStep(state: RunState, event: Extract<RunEvent, { kind: 'ended' }>): void {
  const { task, node, outcome, result } = event;
  if (!mayMove(state, task, node, outcome)) return;
  if (result.register !== undefined) state.registers.set(`${task}@${node}`, result.register);
  if (event.verdict) state.verdicts.push({ node, task, verdict: event.verdict });
  const cause = result.error ? `${result.error.code}: ${result.error.message}` : (result.reason ?? '');
  const held = event.verdict !== undefined && stops(event.verdict.outcome) && event.waived === undefined;
  settle(state, task, node, outcome, held ? (event.verdict?.message ?? cause) : cause, held);
  const counts = state.counts[node];
  if (counts && outcome === 'ok' && result.changed) counts.changed += 1;
}

function mayMove(state: RunState, task: number, node: number, to: StepState): boolean {
  const from = stepState(state, task, node);
  return from !== undefined && STEP_TRANSITIONS[from].includes(to);
}

/** Moves a step; false: the lifecycle does not allow it and nothing happened. */
function moveStep(state: RunState, task: number, node: number, to: StepState): boolean {
  if (!mayMove(state, task, node, to)) return false;
  state.steps[stepIndex(state, task, node)] = STEP_STATES.indexOf(to);
  return true;
}

/** Ends a step and tells everything that waits for it: gates, batches, budgets, permits. */
function settle(state: RunState, task: number, node: number, outcome: StepOutcome, cause: string, held = false): void {
  const graphTask = state.graph.tasks[task];
  const before = stepState(state, task, node);
  if (!graphTask || before === undefined || !moveStep(state, task, node, outcome)) return;
  if (hasEnded(before)) {
    // A node that was given up came back: the record is mended, but the run has moved on.
    count(state, node, before, graphTask.ignoreErrors, -1);
    count(state, node, outcome, graphTask.ignoreErrors, 1);
    return;
  }
  const good = satisfies(outcome, graphTask.ignoreErrors);
  const name = `${graphTask.key} on ${state.graph.nodes[node]}`;
  const why = cause ? `${name}, ${outcome}: ${cause}` : `${name}, ${outcome}`;
  state.pending[node] = (state.pending[node] ?? 0) - 1;
  state.pendingTotal -= 1;
  count(state, node, outcome, graphTask.ignoreErrors, 1);

  for (const gate of state.gatesOfTask[task] ?? []) {
    if (decides(state, gate, task, node)) tick(state, gate, good, why);
  }
  const play = state.graph.plays[graphTask.play];
  if (play?.precheck && state.precheckGate) tick(state, state.precheckGate, good && !held, why);
  const batchGate = play?.batchOf && state.batchGates[play.index]?.[play.batchOf[node] ?? -1];
  if (batchGate) tick(state, batchGate, good, why);
  if (!good && outcome !== 'blocked' && outcome !== 'cancelled') spendBudget(state, graphTask.play, node, why);
  if (graphTask.permit) returnPermit(state, graphTask.permit.name, { task, node, before, outcome, why });
}

function count(state: RunState, node: number, outcome: StepOutcome, ignoreErrors: boolean, by: 1 | -1): void {
  const counts = state.counts[node];
  if (!counts) return;
  if (outcome === 'ok') counts.ok += by;
  else if (outcome === 'skipped') counts.skipped += by;
  else if (outcome === 'failed' && ignoreErrors) counts.ignored += by;
  else if (outcome === 'failed' || outcome === 'interrupted') counts.failed += by;
  else counts.blocked += by;
}

/** Is the step one of those that decide the gate? Of `value` gates it brings the value. */
function decides(state: RunState, gate: GateState, task: number, node: number): boolean {
  if (gate.gate.kind === 'first') return state.graph.sets[state.graph.tasks[task]?.set ?? -1]?.members[0] === node;
  if (gate.gate.kind !== 'value') return true;
  if (gate.gate.node !== node) return false;
  gate.values = state.registers.get(`${task}@${node}`);
  return true;
}

/** One of the steps that decide a gate has ended. */
function tick(state: RunState, gate: GateState, good: boolean, why: string): void {
  gate.remaining -= 1;
  if (!good) {
    gate.failed = true;
    if (gate.cause === '') gate.cause = why;
  }
  if (gate.status !== 'shut') return;
  const early = gate.gate.kind === 'any' && good;
  if (gate.remaining > 0 && !early) return;
  gate.status = early || !gate.failed || isTolerated(state, gate.gate) ? 'open' : 'closed';
  state.fresh.gates.push(gate);
}

/** Are the failures of an `all` or batch edge within the budget that the target's play states (ENGINE 1.2)? */
function isTolerated(state: RunState, gate: Gate): boolean {
  const { tasks } = state.graph;
  if (gate.kind === 'all') {
    const task = tasks[gate.task];
    return task !== undefined && areTolerated(state, task.play, [task], () => true);
  }
  if (gate.kind !== 'batch') return false;
  const ofPlay = tasks.filter((task) => task.play === gate.play);
  const batchOf = state.graph.plays[gate.play]?.batchOf;
  return areTolerated(state, gate.play, ofPlay, (node) => batchOf?.[node] === gate.batch);
}

function areTolerated(
  state: RunState,
  playIndex: number,
  tasks: readonly GraphTask[],
  counts: (node: number) => boolean,
): boolean {
  const play = state.graph.plays[playIndex];
  const nodes = new Set<number>();
  const failed = new Set<number>();
  for (const task of tasks) {
    for (const node of state.graph.sets[task.set]?.members ?? []) {
      if (!counts(node)) continue;
      nodes.add(node);
      const step = stepState(state, task.index, node);
      if (step && !satisfies(step, task.ignoreErrors)) failed.add(node);
    }
  }
  return play !== undefined && isWithinBudget(play, failed, [...nodes]);
}

/** Exceeding a stated budget stops the play (ENGINE 2.5). */
function spendBudget(state: RunState, playIndex: number, node: number, why: string): void {
  const play = state.graph.plays[playIndex];
  const failed = state.failedNodes[playIndex];
  if (!play || !failed || play.precheck || play.budget === undefined || state.stopped.has(playIndex)) return;
  if (failed.has(node)) return;
  failed.add(node);
  if (isWithinBudget(play, failed, state.graph.sets[play.set]?.members ?? [])) return;
  state.stopped.set(playIndex, `play ${play.name} stopped, its failure budget of ${play.budget} % is spent: ${why}`);
  state.fresh.stopped.push(playIndex);
}

/** A node is out of the run: everything it has not ended is unreachable, which fails what waits for it. */
function giveUp(state: RunState, node: number, as: 'refused' | 'given_up', error: ErrorReport): void {
  if (state.nodes[node] === 'given_up' || state.nodes[node] === 'refused') return;
  state.nodes[node] = as;
  state.nodeErrors[node] = error;
  if (as === 'given_up') state.fresh.givenUp.push(node);
  for (const task of state.graph.tasks) {
    const step = stepState(state, task.index, node);
    if (step !== undefined && !hasEnded(step))
      settle(state, task.index, node, 'unreachable', `${error.code}: ${error.message}`);
  }
}

/** Nodes that were given nothing yet end at once; the others are told and answer with what became of their steps. */
function cancelRun(state: RunState): void {
  state.cancelled = true;
  state.fresh.cancel = true;
  if (state.status === 'queued') state.status = 'running';
  state.nodes.forEach((nodeState, node) => {
    if (nodeState !== 'waiting') return;
    for (const task of state.graph.tasks) settle(state, task.index, node, 'cancelled', 'the run was cancelled');
  });
}

/** A grant that comes when the step has ended already (its node was given up meanwhile) goes to the next one. */
function grantPermit(state: RunState, task: number, node: number): void {
  const permit = state.graph.tasks[task]?.permit;
  const step = stepState(state, task, node);
  if (!permit || step === undefined) return;
  const permitState = state.permits.get(permit.name) ?? newPermit(permit.count);
  state.permits.set(permit.name, permitState);
  permitState.waiting = permitState.waiting.filter((wish) => wish.task !== task || wish.node !== node);
  if (hasEnded(step)) state.fresh.permits.add(permit.name);
  else permitState.holders.add(`${task}@${node}`);
}

/** Given back when the step ended well or never began; kept, and the name stuck, when it failed (ENGINE 2.5). */
function returnPermit(
  state: RunState,
  name: string,
  step: { task: number; node: number; before: StepState; outcome: StepOutcome; why: string },
): void {
  const permit = state.permits.get(name);
  if (!permit) return;
  const { task, node, before, outcome } = step;
  const key = `${task}@${node}`;
  permit.waiting = permit.waiting.filter((wish) => wish.task !== task || wish.node !== node);
  // Of a node that was given up nobody knows whether it has begun.
  const neverBegan = before === 'waiting' && outcome !== 'unreachable' && outcome !== 'interrupted';
  if (permit.holders.has(key)) {
    if (outcome === 'ok' || outcome === 'skipped' || neverBegan) permit.holders.delete(key);
    else permit.stuck ??= step.why;
  }
  state.fresh.permits.add(name);
}
