import { scanFrames } from './frames.ts';
import type { JournalRecord } from './records.ts';
import { applyRecord, emptyState, type RunRecord, stateOf } from './state.ts';

/** Between two steps of a run a node may wait for others; for longer than this it counts as left alone. */
const BETWEEN_STEPS_MS = 15 * 60_000;

/**
 * Is a run at work on this node? Read from the journal by another process than the agent's: a step has begun and not ended, or
 * steps are left and the journal was written to a short while ago.
 */
export function runAtWork(journal: Buffer, quietMs: number): boolean {
  const state = emptyState();
  for (const record of scanFrames(journal).records as JournalRecord[]) applyRecord(state, record);
  const runs = [...state.runs.values()].filter(({ share }) => share.kind === 'plan');
  return runs.some((run) => isBegun(run) || (quietMs < BETWEEN_STEPS_MS && isLeft(run)));
}

function isBegun(run: RunRecord): boolean {
  return [...run.steps.values()].some(({ state }) => state === 'begun');
}

function isLeft(run: RunRecord): boolean {
  return run.cancel === undefined && run.share.tasks.some((task) => stateOf(run, task) === 'waiting');
}
