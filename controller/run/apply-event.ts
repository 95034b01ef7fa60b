import { badWithin, isBlock, isCaught, membersOf, type NodeSteps, rootOf, standOf } from '../../shared/blocks.ts';
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
import type { GraphTask } from '../compile/graph.ts';
import { isWithinBudget } from './budget.ts';
import type { RunEvent } from './events.ts';
import { touchAfterStep, touchAll } from './local/steps.ts';
import {
  type GateState,
  newPermit,
  type PermitState,
  type RunState,
  stepIndex,
  stepState,
  stepsOfNode,
} from './state.ts';

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
      returnCarried(state, event.node);
      return;
    case 'begun':
      moveStep(state, event.task, event.node, 'begun');
      for (const permit of state.permits.values()) permit.carried.delete(`${event.task}@${event.node}`);
      return;
    case 'ended':
      endStep(state, event);
      return;
    case 'blocked':
      for (const task of event.tasks)
        settle(state, task, event.node, event.cancelled ? 'cancelled' : 'blocked', { cause: event.cause });
      return;
    case 'refused':
    case 'given_up':
      giveUp(state, event.node, event.kind, event.error);
      return;
    case 'permit_granted':
      grantPermit(state, event.task, event.node);
      return;
    case 'permit_released':
      releasePermit(state, event.name);
      return;
    case 'cancel':
      cancelRun(state, event.force ?? false, new Set(event.asked));
      return;
    case 'paused':
    case 'unpaused':
      state.paused = event.kind === 'paused';
      return;
    case 'revised':
      for (const { task, node, ...answer } of event.answers ?? []) state.answers.set(`${task}@${node}`, answer);
      for (const { task, node, failed } of event.permits) {
        grantPermit(state, task, node);
        permitOf(state, task)?.carried.set(`${task}@${node}`, failed ? 'failed' : 'working');
      }
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
  const key = `${task}@${node}`;
  if (result.register !== undefined) state.registers.set(key, result.register);
  else if (isToldOf(state, task) && result.output !== undefined) state.registers.set(key, result.output);
  if (event.digest !== undefined && outcome === 'ok')
    state.answers.set(key, { digest: event.digest, changed: result.changed, output: result.output ?? null });
  if (outcome === 'failed' && state.graph.common.tasks[task]?.place !== undefined) state.failures.set(key, result);
  if (event.verdict) state.verdicts.push({ node, task, verdict: event.verdict });
  const cause = result.error ? `${result.error.code}: ${result.error.message}` : (result.reason ?? '');
  const held = event.verdict !== undefined && stops(event.verdict.outcome) && event.waived === undefined;
  const isKept = result.kept ?? false;
  settle(state, task, node, outcome, { cause: held ? (event.verdict?.message ?? cause) : cause, held, isKept });
  const counts = state.counts[node];
  if (!counts || outcome !== 'ok') return;
  if (isKept) counts.kept += 1;
  else if (result.changed) counts.changed += 1;
}

/** What `set_fact` binds on a node the controller's own tasks may name. */
function isToldOf(state: RunState, task: number): boolean {
  return state.locals.tasks.length > 0 && state.graph.tasks[task]?.action === 'set_fact';
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

interface Settling {
  cause: string;
  /** A verdict that stops: the precheck gate counts it as failed. */
  held?: boolean;
  /** It ended so in an earlier revision, with whatever permit it had. */
  isKept?: boolean;
}

/** Ends a step and tells everything that waits for it: gates, batches, budgets, permits. */
function settle(
  state: RunState,
  task: number,
  node: number,
  outcome: StepOutcome,
  { cause, held = false, isKept = false }: Settling,
): void {
  const graphTask = state.graph.tasks[task];
  const before = stepState(state, task, node);
  if (!graphTask || before === undefined || !moveStep(state, task, node, outcome)) return;
  const steps = stepsOfNode(state, node);
  const root = isBlock(graphTask) ? rootOf(steps, task) : task;
  if (hasEnded(before)) {
    // A node that was given up came back: the record is mended, but the run has moved on.
    count(state, node, before, graphTask, -1, root !== task);
    count(state, node, outcome, graphTask, 1, root !== task);
    if (outcome === 'ok' && isBlock(graphTask)) countRescued(state, task, node);
    return;
  }
  const good = satisfies(outcome, graphTask.ignoreErrors);
  const why = state.causes.get(`${root}@${node}`) ?? rootCause(state, graphTask, node, outcome, cause);
  // From outside a block is one: what is in it decides nothing but what is beside it.
  const isInside = steps.tasks[task]?.within !== undefined;
  const isOwn = state.graph.common.tasks[task]?.place !== undefined;
  if (!good && (isInside || isOwn || state.locals.tasks.length > 0)) state.causes.set(`${task}@${node}`, why);
  state.pending[node] = (state.pending[node] ?? 0) - 1;
  state.pendingTotal -= 1;
  count(state, node, outcome, graphTask, 1, root !== task);
  if (outcome === 'ok' && isBlock(graphTask)) countRescued(state, task, node);

  tellNode(state, task, node);
  touchAfterStep(state, { task, node }, good);
  for (const gate of state.gatesOfTask[task] ?? []) {
    if (decides(state, gate, task, node)) tick(state, gate, good, why);
  }
  const play = state.graph.plays[graphTask.play];
  if (play?.precheck && state.precheckGate) tick(state, state.precheckGate, (good || isInside) && !held, why);
  const batchGate = play?.batchOf && state.batchGates[play.index]?.[play.batchOf[node] ?? -1];
  if (batchGate) tick(state, batchGate, good || isInside, why);
  if (!good && isOwnFailure(steps, task, outcome)) spendBudget(state, graphTask, node, why);
  if (graphTask.permit) returnPermit(state, graphTask.permit, { task, node, before, outcome, why, isKept });
}

/** A step of the controller's own has ended: the node is told, if anything there waits for it. */
function tellNode(state: RunState, task: number, node: number): void {
  const gate = state.ownGates.get(task);
  if (gate && (state.graph.sets[gate.waiters]?.position[node] ?? -1) >= 0) state.fresh.own.push({ gate, node });
}

/** Why what waits for the step will not begin. A failure spreads with its root: what was blocked has a cause already. */
function rootCause(state: RunState, task: GraphTask, node: number, outcome: StepOutcome, cause: string): string {
  if (cause !== '' && (outcome === 'blocked' || outcome === 'cancelled')) return cause;
  const name = `needs ${task.key} on ${state.graph.nodes[node]}, ${outcome}`;
  return cause === '' ? name : `${name}: ${cause}`;
}

/** A failure that nothing catches and that is not another's: it costs the play's budget. */
function isOwnFailure(steps: NodeSteps, task: number, outcome: StepOutcome): boolean {
  if (outcome === 'blocked' || outcome === 'cancelled') return false;
  if (outcome === 'unreachable') return true;
  if (isCaught(steps, task)) return false;
  const bad = isBlock(steps.tasks[task]) ? badWithin(steps, task) : [];
  return bad.length === 0 || bad.some((one) => !isBlock(steps.tasks[one]) && isFailure(steps.stateOf(one)));
}

function isFailure(step: StepState | undefined): boolean {
  return step === 'failed' || step === 'interrupted';
}

/** `isDerived`: of a block that failed by one of its tasks, which is counted itself. */
function count(
  state: RunState,
  node: number,
  outcome: StepOutcome,
  { ignoreErrors }: GraphTask,
  by: 1 | -1,
  isDerived: boolean,
): void {
  const counts = state.counts[node];
  if (!counts) return;
  if (outcome === 'ok') counts.ok += by;
  else if (outcome === 'skipped') counts.skipped += by;
  else if (isDerived) counts.blocked += by;
  else if (outcome === 'failed' && ignoreErrors) counts.ignored += by;
  else if (outcome === 'failed' || outcome === 'interrupted') counts.failed += by;
  else counts.blocked += by;
}

/** A block that ended ok has made good what failed in it; what was not begun for it counts as skipped. */
function countRescued(state: RunState, block: number, node: number): void {
  const counts = state.counts[node];
  const steps = stepsOfNode(state, node);
  if (!counts) return;
  for (const task of badWithin(steps, block)) {
    const isCounted = !isBlock(steps.tasks[task]) && isFailure(steps.stateOf(task));
    counts[isCounted ? 'failed' : 'blocked'] -= 1;
    counts[isCounted ? 'rescued' : 'skipped'] += 1;
  }
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
  touchAll(state, state.locals.afterGate.get(gate.gate.id) ?? []);
}

/** Are the failures of an `all` or batch edge within the budget that the target's play states (ENGINE 1.2)? */
function isTolerated(state: RunState, gate: GateState['gate']): boolean {
  const { tasks } = state.graph;
  if (gate.kind === 'all') {
    const task = tasks[gate.task];
    return task !== undefined && areTolerated(state, task.play, [task], () => true);
  }
  if (gate.kind !== 'batch') return false;
  const { tasks: specs } = state.graph.common;
  const ofPlay = tasks.filter((task) => task.play === gate.play && specs[task.index]?.within === undefined);
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
      if (!step || satisfies(step, task.ignoreErrors)) continue;
      if (isFatal(state, task, node)) return false;
      failed.add(node);
    }
  }
  return play !== undefined && isWithinBudget(play, failed, [...nodes]);
}

/** Exceeding a stated budget stops the play (ENGINE 2.5); a fatal failure exceeds any. */
function spendBudget(state: RunState, task: GraphTask, node: number, why: string): void {
  const play = state.graph.plays[task.play];
  const failed = state.failedNodes[task.play];
  if (!play || !failed || play.precheck || state.stopped.has(task.play)) return;
  const stop = (because: string): void => {
    state.stopped.set(task.play, `play ${play.name} stopped, ${because}: ${why}`);
    state.fresh.stopped.push(task.play);
    touchAll(state);
  };
  if (isFatal(state, task, node)) {
    stop('as any_errors_fatal says');
    return;
  }
  if (play.budget === undefined || failed.has(node)) return;
  failed.add(node);
  if (isWithinBudget(play, failed, state.graph.sets[play.set]?.members ?? [])) return;
  stop(`its failure budget of ${play.budget} % is spent`);
}

/** `any_errors_fatal` of the failed task, or of one that a block failed by. */
function isFatal(state: RunState, task: GraphTask, node: number): boolean {
  if (task.isFatal) return true;
  if (!isBlock(task)) return false;
  const steps = stepsOfNode(state, node);
  return badWithin(steps, task.index).some((one) => {
    return state.graph.tasks[one]?.isFatal === true && isFailure(steps.stateOf(one));
  });
}

/** A node is out of the run: everything it has not ended is unreachable, which fails what waits for it. */
function giveUp(state: RunState, node: number, as: 'refused' | 'given_up', error: ErrorReport): void {
  if (state.nodes[node] === 'given_up' || state.nodes[node] === 'refused') return;
  // What it had left to say was stored while it was being given up: there is nothing to give up.
  if ((state.pending[node] ?? 0) === 0) return;
  state.nodes[node] = as;
  state.nodeErrors[node] = error;
  if (as === 'given_up') state.fresh.givenUp.push(node);
  for (const task of state.graph.tasks) {
    const step = stepState(state, task.index, node);
    if (step !== undefined && !hasEnded(step))
      settle(state, task.index, node, 'unreachable', { cause: `${error.code}: ${error.message}` });
  }
}

/** Nodes that were given nothing end at once; the others are told and answer with what became of their steps. */
function cancelRun(state: RunState, force: boolean, asked: ReadonlySet<number>): void {
  state.cancelled = true;
  state.forced ||= force;
  state.fresh.cancel = true;
  touchAll(state);
  if (state.status === 'queued') state.status = 'running';
  state.nodes.forEach((nodeState, node) => {
    if (nodeState !== 'waiting' || asked.has(node)) return;
    for (const task of state.graph.tasks)
      settle(state, task.index, node, 'cancelled', { cause: 'the run was cancelled' });
  });
}

/**
 * A node takes a revision on when its steps at work have ended: what they held it may ask for again. A step that failed with
 * its permit keeps it until it has been tried again.
 */
function returnCarried(state: RunState, node: number): void {
  for (const [name, permit] of state.permits) {
    for (const [key, stood] of permit.carried) {
      if (stood === 'failed' || Number(key.split('@')[1]) !== node) continue;
      permit.carried.delete(key);
      permit.holders.delete(key);
      state.fresh.permits.add(name);
    }
  }
}

function permitOf(state: RunState, task: number): PermitState | undefined {
  return state.permits.get(state.graph.tasks[task]?.permit?.name ?? '');
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
  permitState.carried.delete(`${task}@${node}`);
}

/** A person frees what failed steps keep; steps that are at work keep theirs. */
function releasePermit(state: RunState, name: string): void {
  const permit = state.permits.get(name);
  if (!permit) return;
  for (const key of [...permit.holders]) {
    const [task = -1, node = -1] = key.split('@').map(Number);
    const step = stepState(state, task, node);
    if (step !== undefined && hasEnded(step)) permit.holders.delete(key);
  }
  permit.stuck = undefined;
  state.fresh.permits.add(name);
}

/** Did the `always` of a block put things in order, whatever the block did? */
function isTidied(steps: NodeSteps, task: number, outcome: StepOutcome): boolean {
  const always = membersOf(steps, task, 'always');
  return outcome !== 'unreachable' && always.length > 0 && standOf(steps, always) === 'good';
}

/**
 * Given back when the step ended well or never began, or the `always` of the block did; kept, and the name stuck, when it
 * failed (ENGINE 2.5). In an exec it only counts how many are at work (`--forks`), and is given back whatever comes.
 */
function returnPermit(
  state: RunState,
  { name, count }: { name: string; count: number },
  step: { task: number; node: number; before: StepState; outcome: StepOutcome; why: string; isKept: boolean },
): void {
  const { task, node, before, outcome, isKept } = step;
  const key = `${task}@${node}`;
  const isGood = outcome === 'ok' || outcome === 'skipped' || isTidied(stepsOfNode(state, node), task, outcome);
  const permit = state.permits.get(name) ?? (isKept && !isGood ? newPermit(count) : undefined);
  if (!permit) return;
  state.permits.set(name, permit);
  // It failed with the permit, in an earlier revision.
  if (isKept && !isGood) permit.holders.add(key);
  const hasFailedBefore = permit.carried.get(key) === 'failed';
  permit.carried.delete(key);
  permit.waiting = permit.waiting.filter((wish) => wish.task !== task || wish.node !== node);
  // Of a node that was given up nobody knows whether it has begun; of a step that is kept, or had failed with it, that it had.
  const isUnknown = outcome === 'unreachable' || outcome === 'interrupted';
  const neverBegan = before === 'waiting' && !isKept && !hasFailedBefore && !isUnknown;
  if (permit.holders.has(key)) {
    if (isGood || neverBegan || state.graph.kind === 'exec') permit.holders.delete(key);
    else permit.stuck ??= step.why;
  }
  state.fresh.permits.add(name);
}
