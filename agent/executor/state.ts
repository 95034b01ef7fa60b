/** What the agent knows, rebuilt from the journal's records. `applyRecord` is the only thing that changes it. */

import type { Facts } from '../../shared/facts.ts';
import type { StepState } from '../../shared/lifecycle.ts';
import type { WireOutcome } from '../../shared/protocol/messages.ts';
import type { Json, Share } from '../../shared/share.ts';
import type { ItemEnd, JournalRecord } from './records.ts';

export interface ItemState {
  /** The last attempt begun, from 1; 0: none yet. */
  attempt: number;
  /** Boot in which it began. */
  boot: string;
  ended?: ItemEnd;
}

export interface StepRecord {
  state: StepState;
  /** Frozen at begun; undefined: no loop. */
  items?: Json[];
  begunAtMs: number;
  /** By item number; 0 for a step without a loop. */
  byItem: Map<number, ItemState>;
  /** What the step failed with, for the cause of those that are blocked by it. */
  failure?: { code: string; message: string };
}

export type GateState = { open: true; values: Json } | { open: false; cause: string };

export interface RunRecord {
  run: string;
  revision: number;
  share: Share;
  common: string;
  leaseMs: number;
  /** Only steps that have left `waiting`. */
  steps: Map<number, StepRecord>;
  gates: Map<string, GateState>;
  permits: Set<number>;
  /** Registers and set_fact by name; the later write wins. */
  bindings: Map<string, Json>;
  facts?: { version: number; facts: Facts };
  held?: string;
  cancel?: { graceMs: number };
}

export interface AgentState {
  /** In order of arrival. */
  runs: Map<string, RunRecord>;
  /** `run/revision` of shares that were refused. */
  refused: Set<string>;
  generation: { value: number; mac: string };
  contact?: { boot: string; atMs: number; leaseMs: number };
}

export function emptyState(): AgentState {
  return { runs: new Map(), refused: new Set(), generation: { value: 0, mac: '' } };
}

const OUTCOME_STATE: Readonly<Record<WireOutcome, StepState>> = {
  OUTCOME_OK: 'ok',
  OUTCOME_SKIPPED: 'skipped',
  OUTCOME_FAILED: 'failed',
  OUTCOME_INTERRUPTED: 'interrupted',
  OUTCOME_CANCELLED: 'cancelled',
};

/** The state of a step of the share: `waiting` unless a record says more. */
export function stateOf(run: RunRecord, task: number): StepState {
  return run.steps.get(task)?.state ?? 'waiting';
}

function stepOf(run: RunRecord, task: number): StepRecord {
  const found = run.steps.get(task);
  if (found !== undefined) return found;
  const made: StepRecord = { state: 'waiting', begunAtMs: 0, byItem: new Map() };
  run.steps.set(task, made);
  return made;
}

/** The record of one item of a step, made on demand. */
export function itemOf(step: StepRecord, item: number): ItemState {
  const found = step.byItem.get(item);
  if (found !== undefined) return found;
  const made: ItemState = { attempt: 0, boot: '' };
  step.byItem.set(item, made);
  return made;
}

function push(state: AgentState, record: Extract<JournalRecord, { type: 'push' }>): void {
  const { run, revision, share, common, leaseMs } = record;
  const old = state.runs.get(run);
  const steps = new Map<number, StepRecord>();
  for (const [was, now] of record.carried) {
    const step = old?.steps.get(was);
    if (step !== undefined) steps.set(now, step);
  }
  const made: RunRecord = {
    run,
    revision,
    share,
    common,
    leaseMs,
    steps,
    gates: new Map(),
    permits: new Set(),
    bindings: old?.bindings ?? new Map(),
  };
  if (old?.facts !== undefined) made.facts = old.facts;
  if (old?.held !== undefined) made.held = old.held;
  state.runs.set(run, made);
}

/** Applies one record. Records of runs that are not held are ignored: a later `forget` has overtaken them. */
export function applyRecord(state: AgentState, record: JournalRecord): void {
  switch (record.type) {
    case 'journal':
    case 'acked':
    case 'accepted':
      return;
    case 'push':
      push(state, record);
      return;
    case 'refused':
      state.refused.add(`${record.run}/${record.revision}`);
      return;
    case 'generation':
      state.generation = { value: record.value, mac: record.mac };
      return;
    case 'contact':
      state.contact = { boot: record.boot, atMs: record.atMs, leaseMs: record.leaseMs };
      return;
    case 'forget':
      state.runs.delete(record.run);
      return;
  }
  const run = state.runs.get(record.run);
  if (run === undefined) return;
  switch (record.type) {
    case 'gate':
      run.gates.set(record.gate, { open: true, values: record.values });
      return;
    case 'gate-closed':
      run.gates.set(record.gate, { open: false, cause: record.cause });
      return;
    case 'permit':
      run.permits.add(record.task);
      return;
    case 'hold':
      run.held = record.reason;
      return;
    case 'resume':
      delete run.held;
      return;
    case 'cancel':
      run.cancel = { graceMs: record.graceMs };
      return;
    case 'facts':
      run.facts = { version: record.version, facts: record.facts };
      return;
    case 'begun': {
      const step = stepOf(run, record.task);
      step.state = 'begun';
      step.begunAtMs = record.atMs;
      if (record.items !== undefined) step.items = record.items;
      return;
    }
    case 'attempt': {
      const item = itemOf(stepOf(run, record.task), record.item);
      [item.attempt, item.boot] = [record.attempt, record.boot];
      return;
    }
    case 'item':
      itemOf(stepOf(run, record.task), record.item).ended = record.end;
      return;
    case 'ended': {
      const step = stepOf(run, record.task);
      step.state = OUTCOME_STATE[record.outcome];
      // Outputs of items can be large and nothing asks for them any more.
      step.byItem.clear();
      const { error } = record.result;
      if (error !== undefined) step.failure = { code: error.code, message: error.message };
      for (const [name, value] of Object.entries(record.bindings)) run.bindings.set(name, value);
      return;
    }
    case 'blocked':
      for (const task of record.tasks) stepOf(run, task).state = record.cancelled ? 'cancelled' : 'blocked';
      return;
  }
}
