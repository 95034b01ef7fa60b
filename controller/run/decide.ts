import { stops } from '../../shared/checks/outcome.ts';
import { hasEnded } from '../../shared/lifecycle.ts';
import type { Json } from '../../shared/share.ts';
import { type GateState, newPermit, nothingFresh, type RunState, stepIndex, stepState } from './state.ts';

/** What the runner is to do next. Gates go to every waiter; who is away gets them from {@link decideFor} when it is back. */
export type Decision =
  | { kind: 'push' }
  | { kind: 'open'; gate: string; values: Json | undefined }
  | { kind: 'close'; gate: string; cause: string }
  | { kind: 'permit'; task: number }
  | { kind: 'hold'; reason: string }
  | { kind: 'resume' }
  | { kind: 'cancel' };

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
  if (state.fresh.cancel) decisions.push({ nodes: [...state.graph.nodes.keys()], decision: { kind: 'cancel' } });
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
    grants.push(...permit.waiting.slice(0, Math.max(0, permit.count - permit.holders.size)));
  }
  state.fresh.permits.clear();
  return grants;
}

/** A node asks; asking again is harmless. A step that holds its permit already is told again, one that has ended is not. */
export function wishPermit(state: RunState, task: number, node: number): 'granted' | 'waiting' {
  const wanted = state.graph.tasks[task]?.permit;
  const step = stepState(state, task, node);
  if (!wanted || step === undefined || hasEnded(step)) return 'waiting';
  const permit = state.permits.get(wanted.name) ?? newPermit(wanted.count);
  state.permits.set(wanted.name, permit);
  if (permit.holders.has(`${task}@${node}`)) return 'granted';
  if (!permit.waiting.some((wish) => wish.task === task && wish.node === node)) permit.waiting.push({ task, node });
  state.fresh.permits.add(wanted.name);
  return 'waiting';
}

/** Everything a node must know when it (re)connects; `held`: what its Hello says it has (ENGINE 2.1). */
export function decideFor(
  state: RunState,
  node: number,
  held: { gates: ReadonlySet<string>; permits: ReadonlySet<number> } | undefined,
): Decision[] {
  // Its steps have an end here, but the node may not know: nothing of the run shall begin there any more.
  if (held && state.nodes[node] === 'given_up') return [holdDecision(state, node)];
  if (held && state.cancelled) return [{ kind: 'cancel' }];
  if ((state.pending[node] ?? 0) === 0) return [];
  const decisions: Decision[] = [];
  if (!held) decisions.push({ kind: 'push' });
  for (const gate of state.gates.values()) {
    if (gate.status === 'shut' || held?.gates.has(gate.gate.id)) continue;
    if ((state.graph.sets[gate.gate.waiters]?.position[node] ?? -1) >= 0) decisions.push(gateDecision(gate));
  }
  for (const play of state.stopped.keys()) {
    if (state.graph.tasks.some((task) => task.play === play && stepIndex(state, task.index, node) >= 0))
      decisions.push(stopDecision(state, play));
  }
  for (const permit of state.permits.values()) {
    for (const holder of permit.holders) {
      const [task, at] = holder.split('@').map(Number);
      if (at === node && task !== undefined && !held?.permits.has(task)) decisions.push({ kind: 'permit', task });
    }
  }
  if (state.cancelled) decisions.push({ kind: 'cancel' });
  return decisions;
}

/** The end of the run, once every step has one. */
export function decideEnd(state: RunState): 'done' | 'failed' | 'precheck_failed' | 'cancelled' | undefined {
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

function stopDecision(state: RunState, play: number): Decision {
  return { kind: 'close', gate: `play/${play}`, cause: state.stopped.get(play) ?? '' };
}

function holdDecision(state: RunState, node: number): Decision {
  return { kind: 'hold', reason: state.nodeErrors[node]?.message ?? 'The run goes on without this node.' };
}

function stuckDecision(name: string, cause: string): Decision {
  return { kind: 'close', gate: `permit/${name}`, cause: `the permit ${name} is held by a step that failed: ${cause}` };
}
