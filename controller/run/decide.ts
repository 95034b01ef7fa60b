import { stops } from '../../shared/checks/outcome.ts';
import { hasEnded, satisfies } from '../../shared/lifecycle.ts';
import type { Json } from '../../shared/share.ts';
import {
  type GateState,
  newPermit,
  nothingFresh,
  type OwnGate,
  type PermitState,
  type RunEnd,
  type RunState,
  stepIndex,
  stepState,
} from './state.ts';

/** What the runner is to do next. Gates go to every waiter; who is away gets them from {@link decideFor} when it is back. */
export type Decision =
  | { kind: 'push' }
  | { kind: 'open'; gate: string; values: Json | undefined }
  | { kind: 'close'; gate: string; cause: string }
  | { kind: 'permit'; task: number }
  | { kind: 'hold'; reason: string }
  | { kind: 'resume' }
  | { kind: 'cancel'; force: boolean };

export interface Addressed {
  nodes: readonly number[];
  decision: Decision;
}

/** Decides what follows from the events since the last call. Work is proportional to what they touched. */
export function decide(state: RunState): Addressed[] {
  const decisions: Addressed[] = [];
  for (const gate of state.fresh.gates) {
    decisions.push({ nodes: state.graph.sets[gate.gate.waiters]?.members ?? [], decision: gateDecision(gate) });
  }
  for (const { gate, node } of state.fresh.own) {
    const decision = ownDecision(state, gate, node);
    if (decision) decisions.push({ nodes: [node], decision });
  }
  for (const play of state.fresh.stopped) {
    decisions.push({ nodes: nodesOfPlay(state, play), decision: stopDecision(state, play) });
  }
  for (const name of state.fresh.permits) {
    const permit = state.permits.get(name);
    if (permit?.stuck !== undefined) {
      for (const wish of permit.waiting)
        decisions.push({ nodes: [wish.node], decision: stuckDecision(name, permit.stuck) });
    }
  }
  for (const node of state.fresh.givenUp) decisions.push({ nodes: [node], decision: holdDecision(state, node) });
  // Also to those whose steps have ended so: a push may be on its way to them.
  if (state.fresh.cancel) decisions.push({ nodes: [...state.graph.nodes.keys()], decision: cancelDecision(state) });
  state.fresh = { ...nothingFresh(), permits: state.fresh.permits };
  return decisions;
}

/**
 * The permits to grant now, in order of asking. The runner stores the grant before it tells the node, so that a restart
 * cannot grant it twice.
 */
export function permitsToGrant(state: RunState): { task: number; node: number }[] {
  const grants: { task: number; node: number }[] = [];
  for (const name of state.fresh.permits) {
    const permit = state.permits.get(name);
    if (!permit || permit.stuck !== undefined) continue;
    let free = permit.count - permit.holders.size;
    for (const wish of permit.waiting) {
      if (free + waitersFor(state, permit, wish) <= 0) continue;
      free -= 1;
      grants.push(wish);
    }
  }
  state.fresh.permits.clear();
  return grants;
}

/**
 * Holders from an earlier revision that cannot go on before others: behind a shut gate, or behind the very step that asks.
 * Who asks may be the one that they wait for, so they do not count against it; else both would wait for ever.
 */
function waitersFor(state: RunState, permit: PermitState, wish: { task: number; node: number }): number {
  return [...permit.carried.keys()].filter((key) => {
    const [task = -1, node = -1] = key.split('@').map(Number);
    return (node === wish.node && isBehind(state, task, wish.task)) || isBehindGate(state, task, node);
  }).length;
}

/** Does the step come after the other one of its node, whatever lies between? */
function isBehind({ graph }: RunState, task: number, other: number): boolean {
  const reached = new Set([task]);
  for (const index of reached)
    for (const edge of graph.tasks[index]?.edges ?? []) if (edge.of === 'same') reached.add(edge.task);
  return task !== other && reached.has(other);
}

/** Is a gate shut that the node's steps up to this one need? */
function isBehindGate(state: RunState, task: number, node: number): boolean {
  return state.graph.common.tasks.slice(0, task + 1).some((spec, index) => {
    const step = stepState(state, index, node);
    if (step === undefined || hasEnded(step)) return false;
    const batch = state.graph.plays[spec.play]?.batchOf?.[node] ?? 0;
    const gates = [
      ...spec.needs.flatMap((need) => ('gate' in need ? [need.gate] : [])),
      ...spec.reads.flatMap((read) => (read.known === undefined ? [read.gate] : [])),
      ...(batch > 0 ? [`batch/${spec.play}/${batch - 1}`] : []),
    ];
    return gates.some((gate) => state.gates.get(gate)?.status === 'shut');
  });
}

/** A node asks; asking again is harmless. A step that holds its permit already is told again, one that has ended is not. */
export function wishPermit(state: RunState, task: number, node: number): 'granted' | 'waiting' {
  const wanted = state.graph.tasks[task]?.permit;
  const step = stepState(state, task, node);
  if (!wanted || step === undefined || hasEnded(step)) return 'waiting';
  const permit = state.permits.get(wanted.name) ?? newPermit(wanted.count);
  state.permits.set(wanted.name, permit);
  const key = `${task}@${node}`;
  // What it has from the revision before it gives back when it takes this one on.
  if (permit.holders.has(key) && permit.carried.get(key) !== 'working') return 'granted';
  if (!permit.waiting.some((wish) => wish.task === task && wish.node === node)) permit.waiting.push({ task, node });
  state.fresh.permits.add(wanted.name);
  return 'waiting';
}

/** What a node's Hello says it has of the present revision. */
export interface Held {
  gates: ReadonlySet<string>;
  permits: ReadonlySet<number>;
}

/** Everything a node must know when it (re)connects; `held`: `older` is a share of an earlier revision (ENGINE 2.1). */
export function decideFor(state: RunState, node: number, heldThere: Held | 'older' | undefined): Decision[] {
  const isOpen = (state.pending[node] ?? 0) > 0;
  // With an earlier revision alone it could not say what became of the steps of this one.
  if (heldThere && state.cancelled && (heldThere !== 'older' || !isOpen)) return [cancelDecision(state)];
  // Its steps have an end here, but the node may not know: nothing of the run shall begin there any more.
  if (state.nodes[node] === 'given_up') return heldThere ? [holdDecision(state, node)] : [];
  if (!isOpen) return [];
  const held = heldThere === 'older' ? undefined : heldThere;
  const decisions: Decision[] = [];
  if (!held) decisions.push({ kind: 'push' });
  for (const gate of state.gates.values()) {
    if (gate.status === 'shut' || held?.gates.has(gate.gate.id)) continue;
    if ((state.graph.sets[gate.gate.waiters]?.position[node] ?? -1) >= 0) decisions.push(gateDecision(gate));
  }
  for (const gate of state.ownGates.values()) {
    const isWaiter = (state.graph.sets[gate.waiters]?.position[node] ?? -1) >= 0;
    const decision = isWaiter && !held?.gates.has(gate.id) ? ownDecision(state, gate, node) : undefined;
    if (decision) decisions.push(decision);
  }
  for (const play of state.stopped.keys()) {
    if (state.graph.tasks.some((task) => task.play === play && stepIndex(state, task.index, node) >= 0))
      decisions.push(stopDecision(state, play));
  }
  for (const permit of state.permits.values()) {
    for (const holder of permit.holders) {
      const [task, at] = holder.split('@').map(Number);
      if (at !== node || task === undefined || permit.carried.get(holder) === 'working') continue;
      if (!held?.permits.has(task)) decisions.push({ kind: 'permit', task });
    }
  }
  if (state.cancelled) decisions.push(cancelDecision(state));
  return decisions;
}

/** The end of the run, once every step has one. */
export function decideEnd(state: RunState): RunEnd | undefined {
  if (state.status !== 'running' || state.pendingTotal > 0) return undefined;
  if (state.cancelled) return 'cancelled';
  if (state.precheckGate ? state.precheckGate.status === 'closed' : precheckFailed(state)) return 'precheck_failed';
  const failed =
    state.counts.some((c) => c.failed > 0 || c.blocked > 0) ||
    state.nodes.some((n) => n === 'given_up' || n === 'refused');
  return failed ? 'failed' : 'done';
}

/** A playbook of prechecks alone has no gate: nothing waits for it. */
function precheckFailed(state: RunState): boolean {
  const isPrecheck = (task: number): boolean =>
    state.graph.plays[state.graph.tasks[task]?.play ?? -1]?.precheck ?? false;
  return state.verdicts.some(({ task, verdict }) => isPrecheck(task) && stops(verdict.outcome));
}

/** Everybody with a step of the play, also where its tasks run `on:` others. */
function nodesOfPlay(state: RunState, play: number): number[] {
  const ofPlay = state.graph.tasks.filter((task) => task.play === play);
  return [...new Set(ofPlay.flatMap((task) => state.graph.sets[task.set]?.members ?? []))];
}

function gateDecision(gate: GateState): Decision {
  return gate.status === 'open'
    ? { kind: 'open', gate: gate.gate.id, values: gate.values }
    : { kind: 'close', gate: gate.gate.id, cause: gate.cause };
}

/** What a node is told of a step that the controller has done for it, with the names that it binds; undefined: it has not ended. */
function ownDecision(state: RunState, { id, task }: OwnGate, node: number): Decision | undefined {
  const step = stepState(state, task, node);
  if (step === undefined) return { kind: 'open', gate: id, values: undefined };
  if (!hasEnded(step)) return undefined;
  const name = state.graph.common.tasks[task]?.register?.name;
  const key = `${task}@${node}`;
  if (!satisfies(step, state.graph.tasks[task]?.ignoreErrors ?? false))
    return { kind: 'close', gate: id, cause: state.causes.get(key) ?? step };
  const values = name === undefined ? undefined : { [name]: state.registers.get(key) ?? null };
  return { kind: 'open', gate: id, values };
}

function stopDecision(state: RunState, play: number): Decision {
  return { kind: 'close', gate: `play/${play}`, cause: state.stopped.get(play) ?? '' };
}

function holdDecision(state: RunState, node: number): Decision {
  return { kind: 'hold', reason: state.nodeErrors[node]?.message ?? 'The run goes on without this node.' };
}

function cancelDecision(state: RunState): Decision {
  return { kind: 'cancel', force: state.forced };
}

function stuckDecision(name: string, cause: string): Decision {
  return { kind: 'close', gate: `permit/${name}`, cause: `the permit ${name} is kept: ${cause}` };
}
