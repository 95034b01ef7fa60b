/**
 * The life of a step, and of a run.
 *
 * ```
 *            when false              action ended
 *  waiting ────────────► skipped   ┌────────────► ok
 *     │                            │
 *     ├──── begun ─────────────────┼────────────► failed        (ignore_errors: still satisfies its edges)
 *     │                            ├────────────► interrupted   (died with the machine; cannot be repeated)
 *     │                            └────────────► cancelled
 *     ├──► blocked      a need failed, a gate was closed, the play or the node was stopped
 *     ├──► cancelled
 *     └──► unreachable  the controller gave the node up (also from begun)
 * ```
 */
export type StepState =
  | 'waiting'
  | 'begun'
  | 'ok'
  | 'skipped'
  | 'failed'
  | 'interrupted'
  | 'blocked'
  | 'cancelled'
  | 'unreachable';

/** A state a step never leaves. */
export type StepOutcome = Exclude<StepState, 'waiting' | 'begun'>;

/** Which state may follow which; everything else is a defect and is refused by apply-event. */
export const STEP_TRANSITIONS: Readonly<Record<StepState, readonly StepState[]>> = {
  waiting: ['begun', 'ok', 'skipped', 'failed', 'blocked', 'cancelled', 'unreachable', 'interrupted'],
  // Skipped: a loop has begun, and `when` was false for each of its items.
  begun: ['ok', 'skipped', 'failed', 'interrupted', 'cancelled', 'unreachable'],
  ok: [],
  skipped: [],
  failed: [],
  interrupted: [],
  blocked: [],
  cancelled: [],
  // A node that was given up may come back and tell what it did meanwhile; the run has moved on, the record is mended.
  unreachable: ['ok', 'skipped', 'failed', 'interrupted', 'blocked', 'cancelled'],
};

/** The order is the code of the state in typed arrays: append only. */
export const STEP_STATES: readonly StepState[] = [
  'waiting',
  'begun',
  'ok',
  'skipped',
  'failed',
  'interrupted',
  'blocked',
  'cancelled',
  'unreachable',
];

/** True once a step can change no more (for the run that it belongs to). */
export function hasEnded(state: StepState): state is StepOutcome {
  return state !== 'waiting' && state !== 'begun';
}

/** Does an ended step satisfy an edge that points to it (ENGINE 1.2)? */
export function satisfies(state: StepState, ignoreErrors: boolean): boolean {
  return state === 'ok' || state === 'skipped' || (state === 'failed' && ignoreErrors);
}

/**
 * The life of a run: `queued` (another run holds a node) → `running` ⇄ `paused` → one of the ends. A run that ended other
 * than `done` may be resumed or retried: it is queued again, its revision one higher.
 * `precheck_failed` means that no step that changes a node has begun.
 */
export const RUN_STATUSES = ['queued', 'running', 'paused', 'done', 'failed', 'precheck_failed', 'cancelled'] as const;
export type RunStatus = (typeof RUN_STATUSES)[number];

export function runHasEnded(status: RunStatus): boolean {
  return status !== 'queued' && status !== 'running' && status !== 'paused';
}

/** Exit codes of every command that follows a run. */
export const EXIT_CODE: Readonly<
  Record<'done' | 'usage' | 'precheck_failed' | 'failed' | 'cancelled' | 'unreachable', number>
> = {
  done: 0,
  usage: 1,
  precheck_failed: 2,
  failed: 3,
  cancelled: 4,
  unreachable: 5,
};
