/** What the agent knows, rebuilt from the journal's records. `applyRecord` is the only thing that changes it. */

import type { Facts } from '../../shared/facts.ts';
import type { StepState } from '../../shared/lifecycle.ts';
import { LIVES } from '../../shared/protocol/level.ts';
import type { Life, WireOutcome } from '../../shared/protocol/messages.ts';
import type { Json, Share, StepResult } from '../../shared/share.ts';
import type { ItemEnd, JournalRecord } from './records.ts';
import { type Earlier, earlierOf, slim } from './revision.ts';

export interface ItemState {
  /** The last attempt begun, from 1; 0: none yet. */
  attempt: number;
  /** Boot in which it began. */
  boot: string;
  /** Digest of the inputs of that attempt. */
  inputs?: string;
  /** The `recover` task that has begun since, in which boot. */
  recovering?: { round: number; index: number; boot: string };
  ended?: ItemEnd;
}

/** How a step ended, as a later revision of its run may tell it again. */
export interface Ending {
  outcome: WireOutcome;
  result: StepResult;
  bindings: Record<string, Json>;
  /** Digest of items and inputs, when it ended ok. */
  inputs?: string;
}

export interface StepRecord {
  state: StepState;
  /** Frozen at begun; undefined: no loop. */
  items?: Json[];
  /** Absent: it ended without work (skipped, kept from an earlier revision, blocked). */
  hasBegun?: true;
  /** How often it was begun anew after an interruption (ENGINE 3.3). */
  recoveries: number;
  /** By item number; 0 for a step without a loop. */
  byItem: Map<number, ItemState>;
  /** What the step failed with, for the cause of those that are blocked by it. */
  failure?: { code: string; message: string };
  /** The task's. */
  key?: string;
  ending?: Ending;
  /** Why it was blocked. */
  cause?: string;
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
  /** Dry run: names that nobody can say the value of -> the task that would bind them. */
  unbound: Map<string, number>;
  facts?: { version: number; facts: Facts };
  /** Those that the run began with. */
  firstFacts?: Facts;
  held?: string;
  cancel?: { graceMs: number; force: boolean };
  /** What earlier revisions of the run left, by task key. */
  earlier: ReadonlyMap<string, Earlier>;
  /** A later revision came and was refused: nothing of this one starts any more. */
  replaced?: true;
}

export interface AgentState {
  /** In order of arrival. */
  runs: Map<string, RunRecord>;
  /** `run/revision` of shares that were refused, lately. */
  refused: Set<string>;
  /** Runs that were forgotten, lately -> the revision that was held. */
  forgotten: Map<string, number>;
  generation: { value: number; mac: string };
  /** Of the journal, this one last. */
  lives: Life[];
  contact?: { boot: string; atMs: number; leaseMs: number };
}

export function emptyState(): AgentState {
  return { runs: new Map(), refused: new Set(), forgotten: new Map(), generation: { value: 0, mac: '' }, lives: [] };
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
  const made: StepRecord = { state: 'waiting', recoveries: 0, byItem: new Map() };
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
  const made: RunRecord = {
    run,
    revision,
    share,
    common,
    leaseMs,
    steps: new Map(),
    gates: new Map(),
    permits: new Set(),
    bindings: new Map(Object.entries(share.bindings ?? {})),
    unbound: new Map(),
    earlier: old === undefined ? new Map() : earlierOf(old),
  };
  // The facts of a run are frozen (ENGINE 1.4); what a `facts` step has added, it adds again.
  if (old?.facts !== undefined && old.firstFacts !== undefined) {
    made.facts = { version: old.facts.version, facts: old.firstFacts };
    made.firstFacts = old.firstFacts;
  }
  // Whose revision is raised has arrived last.
  state.runs.delete(run);
  state.runs.set(run, made);
}

/** What is remembered of runs that are gone must not grow for ever. */
const REMEMBERED = 1_000;

function keepLast(known: Set<string> | Map<string, number>): void {
  for (const oldest of known.keys()) {
    if (known.size <= REMEMBERED) return;
    known.delete(oldest);
  }
}

/** What the controller has done for this node binds its register here (shared/share.ts, Need). */
function bindOwn(run: RunRecord, gate: string, values: Json): void {
  const [, task] = /^same\/(\d+)$/.exec(gate) ?? [];
  if (task === undefined || typeof values !== 'object' || values === null || Array.isArray(values)) return;
  for (const [name, value] of Object.entries(values)) {
    if (value !== null) run.bindings.set(name, value);
    else if (run.share.check === true) run.unbound.set(name, Number(task));
  }
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
    case 'refused': {
      state.refused.add(`${record.run}/${record.revision}`);
      keepLast(state.refused);
      const held = state.runs.get(record.run);
      if (held !== undefined && held.revision < record.revision) held.replaced = true;
      return;
    }
    case 'generation':
      state.generation = { value: record.value, mac: record.mac };
      return;
    case 'life':
      state.lives = [...state.lives, { id: record.id, after: record.after }].slice(-LIVES);
      return;
    case 'contact':
      state.contact = { boot: record.boot, atMs: record.atMs, leaseMs: record.leaseMs };
      return;
    case 'forget':
      state.forgotten.delete(record.run);
      if (record.revision !== undefined) state.forgotten.set(record.run, record.revision);
      keepLast(state.forgotten);
      state.runs.delete(record.run);
      return;
  }
  const run = state.runs.get(record.run);
  if (run === undefined) return;
  switch (record.type) {
    case 'gate':
      run.gates.set(record.gate, { open: true, values: record.values });
      bindOwn(run, record.gate, record.values);
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
      run.cancel = { graceMs: record.graceMs, force: record.force === true };
      return;
    case 'facts':
      run.facts = { version: record.version, facts: record.facts };
      run.firstFacts ??= record.facts;
      return;
    case 'begun': {
      const step = stepOf(run, record.task);
      step.state = 'begun';
      step.hasBegun = true;
      if (record.items !== undefined) step.items = record.items;
      return;
    }
    case 'attempt': {
      const step = stepOf(run, record.task);
      const item = itemOf(step, record.item);
      [item.attempt, item.boot, item.inputs] = [record.attempt, record.boot, record.inputs];
      delete item.recovering;
      if (record.recovery === true) step.recoveries += 1;
      return;
    }
    case 'recover': {
      const step = stepOf(run, record.task);
      const { round, index, boot } = record;
      itemOf(step, record.item).recovering = { round, index, boot };
      step.recoveries = Math.max(step.recoveries, round);
      return;
    }
    case 'item': {
      const item = itemOf(stepOf(run, record.task), record.item);
      item.ended = record.end;
      if (record.inputs !== undefined) item.inputs = record.inputs;
      return;
    }
    case 'ended': {
      const step = stepOf(run, record.task);
      step.state = OUTCOME_STATE[record.outcome];
      // Outputs of items can be large, and only what a loop had done before it failed may be asked for again.
      for (const [item, { ended }] of step.byItem) {
        if (step.state === 'ok' || ended?.outcome !== 'ok') step.byItem.delete(item);
      }
      const { error } = record.result;
      if (error !== undefined) step.failure = { code: error.code, message: error.message };
      const { outcome, bindings, key, inputs } = record;
      if (key !== undefined) step.key = key;
      step.ending = { outcome, result: slim(record.result), bindings };
      if (inputs !== undefined) step.ending.inputs = inputs;
      for (const [name, value] of Object.entries(bindings)) {
        run.bindings.set(name, value);
        run.unbound.delete(name);
      }
      for (const name of record.unbound ?? []) {
        run.bindings.delete(name);
        run.unbound.set(name, record.task);
      }
      return;
    }
    case 'blocked':
      for (const [index, task] of record.tasks.entries()) {
        const step = stepOf(run, task);
        step.state = record.cancelled ? 'cancelled' : 'blocked';
        step.cause = record.cause;
        const key = record.keys?.[index];
        if (key !== undefined) step.key = key;
      }
      return;
  }
}
