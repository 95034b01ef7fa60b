import type { NodeSteps } from '../../shared/blocks.ts';
import type { Verdict } from '../../shared/checks/outcome.ts';
import type { ErrorReport } from '../../shared/errors.ts';
import { type RunStatus, STEP_STATES, type StepState } from '../../shared/lifecycle.ts';
import type { Json, StepResult } from '../../shared/share.ts';
import type { Gate, GraphPlay, TaskGraph } from '../compile/graph.ts';
import type { Answer } from './events.ts';
import { type LocalSteps, newLocalSteps } from './local/tasks.ts';

export type RunEnd = 'done' | 'failed' | 'precheck_failed' | 'cancelled';

/** Where a node stands in a run. `waiting`: nothing was accepted yet. */
export type NodeRunState = 'waiting' | 'accepted' | 'refused' | 'given_up';

/** A gate that is decided once for all who wait for it. */
export type SharedGate = Exclude<Gate, { kind: 'same' }>;
/** One that each waiter has for itself: what it is follows from the step. */
export type OwnGate = Extract<Gate, { kind: 'same' }>;

export interface GateState {
  gate: SharedGate;
  status: 'shut' | 'open' | 'closed';
  /** Steps still to end before it is decided. */
  remaining: number;
  /** A step that decides it did not satisfy it. */
  failed: boolean;
  /** The first failure, for people. */
  cause: string;
  values: Json | undefined;
}

export interface PermitState {
  count: number;
  /** Steps (task, node) that hold one. */
  holders: Set<string>;
  /** Of the holders, those that have it from an earlier revision and have not begun in this one: how they stood then. */
  carried: Map<string, 'working' | 'failed'>;
  /** In order of asking. */
  waiting: { task: number; node: number }[];
  /** A holder failed: its name stays taken and the waiters are told (ENGINE 2.5). */
  stuck: string | undefined;
}

export interface NodeCounts {
  ok: number;
  changed: number;
  skipped: number;
  failed: number;
  ignored: number;
  /** Failed, and a rescue made it good. */
  rescued: number;
  /** Of those that are ok: ended so in an earlier revision, and not done again. */
  kept: number;
  blocked: number;
}

/**
 * The state of a run: small arrays, updated in place by apply-event; the work of an event is proportional to what it
 * touches (ENGINE 3.7).
 */
export interface RunState {
  graph: TaskGraph;
  status: 'queued' | 'running' | RunEnd;
  /** Nothing new starts until it goes on. */
  paused: boolean;
  cancelled: boolean;
  /** Cancelled with --force: also permit steps are killed. */
  forced: boolean;
  /** Code of the state of each step: index = offset[task] + position of the node in the task's set. */
  steps: Uint8Array;
  offsets: Int32Array;
  /** Steps of a node that have not ended. */
  pending: Int32Array;
  pendingTotal: number;
  nodes: NodeRunState[];
  nodeErrors: (ErrorReport | undefined)[];
  counts: NodeCounts[];
  gates: Map<string, GateState>;
  /** task -> gates that one of its steps can decide. */
  gatesOfTask: GateState[][];
  /** By task of the controller's own. */
  ownGates: Map<number, OwnGate>;
  locals: LocalSteps;
  batchGates: GateState[][];
  precheckGate: GateState | undefined;
  permits: Map<string, PermitState>;
  /** Plays that were stopped, with the cause. */
  stopped: Map<number, string>;
  /** play -> nodes with a failed step. */
  failedNodes: Set<number>[];
  verdicts: { node: number; task: number; verdict: Verdict }[];
  /** Why steps ended badly, by `task@node`: of those in blocks, and of those that the controller's own look at or are. */
  causes: Map<string, string>;
  /** Values of exported registers by `task@node`. */
  registers: Map<string, Json>;
  /** What persons have confirmed, by `task@node`. */
  answers: Map<string, Answer>;
  /** How steps of the controller's own failed, by `task@node`. */
  failures: Map<string, StepResult>;
  /** Decided since decide() last looked. */
  fresh: Fresh;
}

/** What was decided and not told yet. */
export interface Fresh {
  gates: GateState[];
  /** Gates of single nodes. */
  own: { gate: OwnGate; node: number }[];
  stopped: number[];
  permits: Set<string>;
  cancel: boolean;
  givenUp: number[];
}

export function nothingFresh(): Fresh {
  return { gates: [], own: [], stopped: [], permits: new Set(), cancel: false, givenUp: [] };
}

/** The state before anything happened. */
export function newRunState(graph: TaskGraph): RunState {
  const offsets = new Int32Array(graph.tasks.length + 1);
  const pending = new Int32Array(graph.nodes.length);
  let total = 0;
  graph.tasks.forEach((task, index) => {
    offsets[index] = total;
    const members = graph.sets[task.set]?.members ?? [];
    total += members.length;
    for (const node of members) pending[node] = (pending[node] ?? 0) + 1;
  });
  offsets[graph.tasks.length] = total;
  const state: RunState = {
    graph,
    status: 'queued',
    paused: false,
    cancelled: false,
    forced: false,
    steps: new Uint8Array(total),
    offsets,
    pending,
    pendingTotal: total,
    nodes: graph.nodes.map(() => 'waiting'),
    nodeErrors: graph.nodes.map(() => undefined),
    counts: graph.nodes.map(() => ({
      ok: 0,
      changed: 0,
      skipped: 0,
      failed: 0,
      ignored: 0,
      rescued: 0,
      kept: 0,
      blocked: 0,
    })),
    gates: new Map(),
    gatesOfTask: graph.tasks.map(() => []),
    ownGates: new Map(),
    locals: newLocalSteps(graph),
    batchGates: graph.plays.map(() => []),
    precheckGate: undefined,
    permits: new Map(),
    stopped: new Map(),
    failedNodes: graph.plays.map(() => new Set()),
    verdicts: [],
    causes: new Map(),
    registers: new Map(),
    answers: new Map(),
    failures: new Map(),
    fresh: nothingFresh(),
  };
  const stepsOfBatch = graph.plays.map((play) => batchSizes(graph, play));
  for (const gate of graph.gates) {
    if (gate.kind === 'same') {
      addOwnGate(state, gate);
      continue;
    }
    const total = gate.kind === 'batch' ? (stepsOfBatch[gate.play]?.[gate.batch] ?? 0) : gateTotal(graph, gate);
    addGate(state, gate, total);
  }
  return state;
}

/** Whoever waits for a step that the controller does for others only need not wait (ENGINE 1.2). */
function addOwnGate(state: RunState, gate: OwnGate): void {
  state.ownGates.set(gate.task, gate);
  for (const node of state.graph.sets[gate.waiters]?.members ?? [])
    if (stepIndex(state, gate.task, node) < 0) state.fresh.own.push({ gate, node });
}

function addGate(state: RunState, gate: SharedGate, total: number): void {
  const gateState: GateState = {
    gate,
    status: total === 0 ? 'open' : 'shut',
    remaining: total,
    failed: false,
    cause: '',
    values: undefined,
  };
  state.gates.set(gate.id, gateState);
  if (gateState.status === 'open') state.fresh.gates.push(gateState);
  if (gate.kind === 'batch') {
    const ofPlay = state.batchGates[gate.play];
    if (ofPlay) ofPlay[gate.batch] = gateState;
  } else if (gate.kind === 'precheck') state.precheckGate = gateState;
  else state.gatesOfTask[gate.task]?.push(gateState);
}

/** How many steps decide the gate; an empty set satisfies (ENGINE 1.2). */
function gateTotal(graph: TaskGraph, gate: Exclude<SharedGate, { kind: 'batch' }>): number {
  const size = (set: number | undefined): number => (set === undefined ? 0 : (graph.sets[set]?.members.length ?? 0));
  switch (gate.kind) {
    case 'all':
    case 'any':
      return size(graph.tasks[gate.task]?.set);
    case 'first':
      return Math.min(1, size(graph.tasks[gate.task]?.set));
    case 'value':
      return 1;
    case 'precheck':
      return sum(graph.tasks.filter((task) => graph.plays[task.play]?.precheck).map((task) => size(task.set)));
  }
}

/** Steps of a play by batch. */
function batchSizes(graph: TaskGraph, play: GraphPlay): number[] {
  const sizes = new Array<number>(play.batches).fill(0);
  if (!play.batchOf) return sizes;
  for (const task of graph.tasks) {
    if (task.play !== play.index) continue;
    for (const node of graph.sets[task.set]?.members ?? []) {
      const batch = play.batchOf[node] ?? -1;
      if (batch >= 0) sizes[batch] = (sizes[batch] ?? 0) + 1;
    }
  }
  return sizes;
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((a, b) => a + b, 0);
}

/** The run's status for people and the store. */
export function statusOf(state: RunState): RunStatus {
  return state.status === 'running' && state.paused ? 'paused' : state.status;
}

/** Position of a step in `steps`; -1: the task does not run on that node. */
export function stepIndex(state: RunState, task: number, node: number): number {
  const set = state.graph.sets[state.graph.tasks[task]?.set ?? -1];
  const at = set?.position[node] ?? -1;
  return at < 0 ? -1 : (state.offsets[task] ?? 0) + at;
}

export function stepState(state: RunState, task: number, node: number): StepState | undefined {
  const index = stepIndex(state, task, node);
  return index < 0 ? undefined : STEP_STATES[state.steps[index] ?? 0];
}

export function newPermit(count: number): PermitState {
  return { count, holders: new Set(), carried: new Map(), waiting: [], stuck: undefined };
}

/** The steps of one node, as the rules of blocks ask for them. */
export function stepsOfNode(state: RunState, node: number): NodeSteps {
  return { tasks: state.graph.common.tasks, stateOf: (task) => stepState(state, task, node) };
}
