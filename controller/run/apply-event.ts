import { stops } from '../../shared/checks/outcome.ts';
import {
  hasEnded,
  STEP_STATES,
  STEP_TRANSITIONS,
  type StepOutcome,
  type StepState,
  satisfies,
} from '../../shared/lifecycle.ts';
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
  if (result.register !== undefined) state.registers.set(`${task}@${node}`, result.register);
  if (event.verdict) state.verdicts.push({ node, task, verdict: event.verdict });
  const cause = result.error ? `${result.error.code}: ${result.error.message}` : (result.reason ?? '');
  const held = event.verdict !== undefined && stops(event.verdict.outcome) && event.waived === undefined;
  if (!settle(state, task, node, outcome, held ? (event.verdict?.message ?? cause) : cause, held)) return;
  const counts = state.counts[node];
  if (counts && outcome === 'ok' && result.changed) counts.changed += 1;
}

/** Moves a step; false: the lifecycle does not allow it and nothing happened. */
function moveStep(state: RunState, task: number, node: number, to: StepState): boolean {
  const index = stepIndex(state, task, node);
  const from = stepState(state, task, node);
  if (from === undefined || !STEP_TRANSITIONS[from].includes(to)) return false;
  state.steps[index] = STEP_STATES.indexOf(to);
  return true;
}

/** Ends a step and tells everything that waits for it: gates, batches, budgets, permits. */
function settle(
  state: RunState,
  task: number,
  node: number,
  outcome: StepOutcome,
  cause: string,
  held = false,
): boolean {
  const before = stepState(state, task, node);
  if (!moveStep(state, task, node, outcome)) return false;
  if (before !== undefined && hasEnded(before)) return true; // a node that was given up came back: the run has moved on
  const graphTask = state.graph.tasks[task];
  if (!graphTask) return false;
  const good = satisfies(outcome, graphTask.ignoreErrors);
  const name = `${graphTask.key} on ${state.graph.nodes[node]}`;
  const why = cause ? `${name}, ${outcome}: ${cause}` : `${name}, ${outcome}`;
  state.pending[node] = (state.pending[node] ?? 0) - 1;
  state.pendingTotal -= 1;
  count(state, node, outcome, graphTask.ignoreErrors);

  for (const gate of state.gatesOfTask[task] ?? []) settleGate(state, gate, task, node, good, why);
  const play = state.graph.plays[graphTask.play];
  if (play?.precheck && state.precheckGate) tick(state, state.precheckGate, good && !held, why, 0);
  if (play?.batchOf) {
    const gate = state.batchGates[play.index]?.[play.batchOf[node] ?? -1];
    if (gate) tick(state, gate, good, why, play.budget ?? 0);
  }
  if (!good && outcome !== 'blocked' && outcome !== 'cancelled') spendBudget(state, graphTask.play, node, why);
  if (graphTask.permit) returnPermit(state, graphTask.permit.name, task, node, outcome, why);
  return true;
}

function count(state: RunState, node: number, outcome: StepOutcome, ignoreErrors: boolean): void {
  const counts = state.counts[node];
  if (!counts) return;
  if (outcome === 'ok') counts.ok += 1;
  else if (outcome === 'skipped') counts.skipped += 1;
  else if (outcome === 'failed' && ignoreErrors) counts.ignored += 1;
  else if (outcome === 'failed' || outcome === 'interrupted') counts.failed += 1;
  else counts.blocked += 1;
}

function settleGate(state: RunState, gate: GateState, task: number, node: number, good: boolean, why: string): void {
  const members = state.graph.sets[state.graph.tasks[task]?.set ?? 0]?.members ?? [];
  switch (gate.gate.kind) {
    case 'all':
      tick(state, gate, good, why, state.graph.plays[state.graph.tasks[task]?.play ?? 0]?.budget ?? 0);
      return;
    case 'first':
      if (members[0] === node) tick(state, gate, good, why, 0);
      return;
    case 'any':
      // The first good one opens it; only the failure of the last one closes it.
      if (good && gate.status === 'shut') openGate(state, gate);
      else tick(state, gate, good, why, 99.999);
      return;
    case 'value':
      if (gate.gate.node !== node) return;
      gate.values = state.registers.get(`${task}@${node}`);
      tick(state, gate, good, why, 0);
      return;
  }
}

/** One of the steps that decide a gate has ended. `budget`: percent of failures that still satisfy it. */
function tick(state: RunState, gate: GateState, good: boolean, why: string, budget: number): void {
  gate.remaining -= 1;
  if (!good) {
    gate.failed += 1;
    if (gate.cause === '') gate.cause = why;
  }
  if (gate.status !== 'shut' || gate.remaining > 0) return;
  if ((gate.failed / gate.total) * 100 <= budget) openGate(state, gate);
  else {
    gate.status = 'closed';
    state.fresh.gates.push(gate);
  }
}

function openGate(state: RunState, gate: GateState): void {
  gate.status = 'open';
  state.fresh.gates.push(gate);
}

/** Exceeding a stated budget stops the play (ENGINE 2.5); counted in nodes, over the play and over the node's batch. */
function spendBudget(state: RunState, playIndex: number, node: number, why: string): void {
  const play = state.graph.plays[playIndex];
  const failed = state.failedNodes[playIndex];
  if (!play || !failed || play.precheck || play.budget === undefined || state.stopped.has(playIndex)) return;
  failed.add(node);
  const members = state.graph.sets[play.set]?.members ?? [];
  const exceeds = (failures: number, of: number): boolean => (failures / Math.max(1, of)) * 100 > (play.budget ?? 100);
  const batch = play.batchOf?.[node];
  const sameBatch = (other: number): boolean => play.batchOf?.[other] === batch;
  const stop =
    exceeds(failed.size, members.length) ||
    (play.batchOf !== undefined && exceeds([...failed].filter(sameBatch).length, members.filter(sameBatch).length));
  if (!stop) return;
  state.stopped.set(playIndex, `play ${play.name} stopped, its failure budget of ${play.budget} % is spent: ${why}`);
  state.fresh.stopped.push(playIndex);
}

/** A node is out of the run: everything it has not ended is unreachable, which fails what waits for it. */
function giveUp(
  state: RunState,
  node: number,
  as: 'refused' | 'given_up',
  error: { code: string; message: string },
): void {
  if (state.nodes[node] === 'given_up' || state.nodes[node] === 'refused') return;
  state.nodes[node] = as;
  state.nodeErrors[node] = error as RunState['nodeErrors'][number];
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

function grantPermit(state: RunState, task: number, node: number): void {
  const permit = state.graph.tasks[task]?.permit;
  if (!permit) return;
  const permitState = state.permits.get(permit.name) ?? newPermit(permit.count);
  state.permits.set(permit.name, permitState);
  permitState.holders.add(`${task}@${node}`);
  permitState.waiting = permitState.waiting.filter((wish) => wish.task !== task || wish.node !== node);
}

/** Given back when the step ended well or never began; kept, and the name stuck, when it failed (ENGINE 2.5). */
function returnPermit(
  state: RunState,
  name: string,
  task: number,
  node: number,
  outcome: StepOutcome,
  why: string,
): void {
  const permit = state.permits.get(name);
  if (!permit) return;
  const key = `${task}@${node}`;
  permit.waiting = permit.waiting.filter((wish) => wish.task !== task || wish.node !== node);
  if (permit.holders.has(key)) {
    if (outcome === 'ok' || outcome === 'skipped' || outcome === 'blocked') permit.holders.delete(key);
    else permit.stuck ??= why;
  }
  state.fresh.permits.add(name);
}
