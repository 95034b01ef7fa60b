/** Which steps may start now, which never will. Pure: state in, decisions out. */
import { lockOf } from '../../shared/actions/index.ts';
import { isBlock, type NodeSteps, rootOf } from '../../shared/blocks.ts';
import { type StepState, satisfies } from '../../shared/lifecycle.ts';
import type { Need, Share, TaskSpec } from '../../shared/share.ts';
import { atEnd, isOpen, isOwed, leftBehind, needless, stopperOf } from './block.ts';
import { endAtOnce } from './revision.ts';
import { type Ending, type RunRecord, stateOf } from './state.ts';

/** Steps at work at once on a node, `exec` runs not counted (ENGINE 1.8). */
export const SLOTS = 4;

/**
 * What a begun step is doing: `working` holds its slot and lock; `resting` waits for something (a retry's delay, a
 * port); `queued` wants to work on (the next item or attempt) and waits for its turn.
 */
export type Phase = 'working' | 'resting' | 'queued';

export interface Scheduling {
  /** In order of arrival. */
  runs: readonly RunRecord[];
  specsOf(run: RunRecord): readonly TaskSpec[];
  /** Facts are there and what a restart left begun is in `phases`. */
  isReady(run: RunRecord): boolean;
  /** False: nothing new starts (ENGINE 2.6). */
  leaseHolds(run: RunRecord): boolean;
  /** A later revision has come: nothing of this one starts, and only permit steps go on. */
  isReplaced(run: RunRecord): boolean;
  /** What the step did in an earlier revision stands (ENGINE 3.4). Asked when its needs are satisfied. */
  keeps(run: RunRecord, task: number): boolean;
  /** Are the secrets that the step asks for there? Asked when its needs are satisfied. */
  hasSecrets(run: RunRecord, task: number): boolean;
  /** By {@link stepKey}, every step that has begun or is about to. */
  phases: ReadonlyMap<string, Phase>;
}

export type Decision =
  | { kind: 'start' | 'continue' | 'want-permit' | 'want-secrets'; run: RunRecord; task: number }
  /** Ends without having begun. */
  | { kind: 'end'; run: RunRecord; task: number; ending: Ending }
  | { kind: 'block'; run: RunRecord; tasks: number[]; cause: string; cancelled: boolean };

export function stepKey(run: string, task: number): string {
  return `${run}/${task}`;
}

/** Waiting by nature: holds no slot and no lock, and does not count for `alone` (ENGINE 1.8). */
export function isWaiting(spec: TaskSpec): boolean {
  return spec.action === 'wait_for' || isBlock(spec);
}

/** The task's own, and its action's. */
function locksOf(spec: TaskSpec): string[] {
  return [spec.lock, lockOf(spec.action)].filter((lock) => lock !== undefined);
}

/** The share's own needs of a task, with the batch that goes before it. */
function needsOf(run: RunRecord, spec: TaskSpec): Need[] {
  const batch = run.share.batches[String(spec.play)] ?? 0;
  const gates = spec.reads.flatMap(({ gate, known }) => (known === undefined ? [{ gate }] : []));
  return [...spec.needs, ...gates, ...(batch > 0 ? [{ gate: `batch/${spec.play}/${batch - 1}` }] : [])];
}

/** Who holds what, counted up while decisions are made. */
class Occupancy {
  slots = 0;
  working = 0;
  alone = false;
  readonly locks = new Set<string>();

  take(run: RunRecord, spec: TaskSpec): void {
    if (isWaiting(spec)) return;
    this.working += 1;
    if (run.share.kind === 'plan') this.slots += 1;
    for (const lock of locksOf(spec)) this.locks.add(lock);
    if (spec.alone) this.alone = true;
  }

  hasRoomFor(run: RunRecord, spec: TaskSpec): boolean {
    if (isWaiting(spec)) return true;
    if (this.alone || (spec.alone && this.working > 0)) return false;
    if (locksOf(spec).some((lock) => this.locks.has(lock))) return false;
    return run.share.kind === 'exec' || this.slots < SLOTS;
  }
}

/** Everything that can be decided now; called after every change. */
export function schedule(input: Scheduling): Decision[] {
  const decisions: Decision[] = [];
  const occupancy = new Occupancy();
  for (const run of input.runs) {
    const specs = input.specsOf(run);
    for (const task of run.share.tasks) {
      const spec = specs[task];
      if (spec !== undefined && input.phases.get(stepKey(run.run, task)) === 'working') occupancy.take(run, spec);
    }
  }
  const candidates: { kind: 'start' | 'continue'; run: RunRecord; task: number; spec: TaskSpec }[] = [];
  const newest = input.runs.findLast((run) => run.share.kind === 'plan');
  for (const run of input.runs) {
    const specs = input.specsOf(run);
    const isReplaced = input.isReplaced(run);
    const steps = nodeSteps(run, specs);
    const ends = isReplaced ? [] : endsOf(run, steps, specs, input.phases);
    decisions.push(...ends);
    // What follows from them is decided when they are in the state.
    if (ends.length > 0) continue;
    const mayBeKept = (task: number): boolean => {
      const spec = specs[task];
      if (spec === undefined || !wasDone(run, task, spec)) return false;
      if (isBlock(spec) || !isOpen(steps, task) || !input.isReady(run)) return true;
      if (!needsOf(run, spec).every((need) => isSatisfied(run, specs, need))) return true;
      return !input.hasSecrets(run, task) || input.keeps(run, task);
    };
    const blocks = isReplaced ? [] : blocksOf(run, steps, specs, input.phases, newest, mayBeKept);
    decisions.push(...blocks);
    if (run.held !== undefined || !input.isReady(run) || !input.leaseHolds(run)) continue;
    const blocked = new Set(blocks.flatMap((block) => (block.kind === 'block' ? block.tasks : [])));
    const mayStart =
      run !== newest || !input.runs.some((other) => other !== run && isPlan(other) && isAtWork(other, input.phases));
    for (const task of run.share.tasks) {
      const spec = specs[task];
      if (spec === undefined || blocked.has(task)) continue;
      const phase = input.phases.get(stepKey(run.run, task));
      // Of a cancelled run only what is let finish is still queued, with all its items and attempts.
      if (phase === 'queued') candidates.push({ kind: 'continue', run, task, spec });
      if (phase !== undefined || !mayStart || isReplaced || stateOf(run, task) !== 'waiting') continue;
      if (!isOpen(steps, task) || (run.cancel !== undefined && !isOwed(steps, task))) continue;
      if (!needsOf(run, spec).every((need) => isSatisfied(run, specs, need))) continue;
      if (!input.hasSecrets(run, task)) decisions.push({ kind: 'want-secrets', run, task });
      // It does nothing: no slot, lock or permit is needed.
      else if (input.keeps(run, task)) decisions.push({ kind: 'start', run, task });
      else if (mayWork(run, task, spec)) candidates.push({ kind: 'start', run, task, spec });
      else decisions.push({ kind: 'want-permit', run, task });
    }
  }
  // Whoever has begun goes on first; else order of arrival, then of the plan.
  candidates.sort((a, b) => Number(a.kind === 'start') - Number(b.kind === 'start'));
  for (const { kind, run, task, spec } of candidates) {
    if (occupancy.hasRoomFor(run, spec)) {
      occupancy.take(run, spec);
      decisions.push({ kind, run, task });
    } else if (spec.alone && !occupancy.alone) {
      // It waits for the node to empty: nothing may slip in before it, or it would wait for ever.
      break;
    }
  }
  return decisions;
}

const taskSets = new WeakMap<Share, ReadonlySet<number>>();

/** The share's tasks as a set, made once: a share of a thousand tasks is asked a thousand times. */
function tasksOf({ share }: RunRecord): ReadonlySet<number> {
  const known = taskSets.get(share);
  if (known !== undefined) return known;
  const made = new Set(share.tasks);
  taskSets.set(share, made);
  return made;
}

function isPlan(run: RunRecord): boolean {
  return run.share.kind === 'plan';
}

function isAtWork(run: RunRecord, phases: ReadonlyMap<string, Phase>): boolean {
  return run.share.tasks.some((task) => phases.has(stepKey(run.run, task)));
}

function isSatisfied(run: RunRecord, specs: readonly TaskSpec[], need: Need): boolean {
  if ('gate' in need) return run.gates.get(need.gate)?.open === true;
  if (!tasksOf(run).has(need.task)) return true;
  return satisfies(stateOf(run, need.task), specs[need.task]?.ignoreErrors ?? false);
}

/** A dry run disrupts nothing, so it takes no permit from those who do. */
function mayWork(run: RunRecord, task: number, spec: TaskSpec): boolean {
  return spec.permit === undefined || run.permits.has(task) || run.share.check === true;
}

function nodeSteps(run: RunRecord, tasks: readonly TaskSpec[]): NodeSteps {
  const share = tasksOf(run);
  return { tasks, stateOf: (task) => (share.has(task) ? stateOf(run, task) : undefined) };
}

/**
 * Blocks whose parts have ended, and what they make needless. Of a later revision: steps that a person has taken out, and
 * those that end again as they had.
 */
function endsOf(
  run: RunRecord,
  steps: NodeSteps,
  specs: readonly TaskSpec[],
  phases: ReadonlyMap<string, Phase>,
): Decision[] {
  const ends: Decision[] = [];
  const blocked = new Map<string, number[]>();
  for (const task of run.share.tasks) {
    const spec = specs[task];
    if (spec === undefined || phases.has(stepKey(run.run, task))) continue;
    const state = stateOf(run, task);
    if (state === 'begun' && isBlock(spec)) {
      const ending = atEnd(run, steps, task, spec);
      if (ending !== undefined) ends.push({ kind: 'end', run, task, ending });
    }
    if (state !== 'waiting') continue;
    const end = needless(run, steps, spec) ?? endAtOnce(run, task, specs);
    if (end === undefined) continue;
    if ('blocked' in end) blocked.set(end.blocked, [...(blocked.get(end.blocked) ?? []), task]);
    else ends.push({ kind: 'end', run, task, ending: end });
  }
  for (const [cause, tasks] of blocked) ends.push({ kind: 'block', run, tasks, cause, cancelled: false });
  return ends;
}

const UNSATISFYING: ReadonlySet<StepState> = new Set<StepState>(['failed', 'interrupted', 'blocked', 'cancelled']);

/** The last that an earlier revision did of it ended ok, and nothing asks for it again. */
function wasDone(run: RunRecord, task: number, spec: TaskSpec): boolean {
  const { revised } = run.share;
  const earlier = run.earlier.get(spec.key);
  return (
    revised !== undefined && !revised.rerun.includes(task) && earlier?.done !== undefined && earlier.last === undefined
  );
}

/**
 * Steps that have not begun and never will, grouped by cause. A failure beside a step stops it from being done, so not one
 * that was done before the failure and has only to be kept: that waits for its needs alone.
 */
function blocksOf(
  run: RunRecord,
  steps: NodeSteps,
  specs: readonly TaskSpec[],
  phases: ReadonlyMap<string, Phase>,
  newest: RunRecord | undefined,
  mayBeKept: (task: number) => boolean,
): Decision[] {
  const waiting = run.share.tasks.filter(
    (task) => stateOf(run, task) === 'waiting' && !phases.has(stepKey(run.run, task)),
  );
  if (waiting.length === 0) return [];
  const block = (tasks: number[], cause: string, cancelled: boolean): Decision[] =>
    tasks.length === 0 ? [] : [{ kind: 'block', run, tasks, cause, cancelled }];
  if (isPlan(run) && newest !== undefined && newest !== run)
    return block(waiting, `run ${newest.run} has taken the node over`, true);
  const isStopped = (task: number): boolean => run.cancel !== undefined && !isOwed(steps, task);
  const cancelled = block(waiting.filter(isStopped), 'the run was cancelled', true);
  const causes = new Map<number, string>();
  const left = waiting.filter((task) => !isStopped(task));
  const top = run.share.tasks.filter((task) => specs[task]?.within === undefined);
  for (const task of left) {
    const stopper = stopperOf(steps, task, top);
    if (stopper === undefined || mayBeKept(task)) continue;
    causes.set(task, `after ${endOf(run, specs, rootOf(steps, stopper))}`);
  }
  addClosed(causes, run, steps, specs, left, mayBeKept);
  const grouped = Map.groupBy(causes, ([, cause]) => cause);
  const blocked = [...grouped].flatMap(([cause, entries]) => {
    const tasks = entries.map(([task]) => task).sort((a, b) => a - b);
    return block(tasks, cause, false);
  });
  return [...cancelled, ...blocked];
}

/**
 * Blocked by a closed gate, a stopped play or a local need that satisfies nothing; and whatever needs those, or is in a block
 * that does.
 */
function addClosed(
  causes: Map<number, string>,
  run: RunRecord,
  steps: NodeSteps,
  specs: readonly TaskSpec[],
  waiting: readonly number[],
  mayBeKept: (task: number) => boolean,
): void {
  const causeOf = (task: number, spec: TaskSpec): string | undefined => {
    const ofBlock = spec.within && causes.get(spec.within.block);
    if (ofBlock !== undefined) return ofBlock;
    const behind = leftBehind(steps, task);
    if (behind !== undefined) return behind;
    const stopped = run.gates.get(`play/${spec.play}`);
    if (stopped?.open === false && !isOwed(steps, task) && !mayBeKept(task)) return stopped.cause;
    const stuck = spec.permit && run.gates.get(`permit/${spec.permit.name}`);
    if (stuck?.open === false && !run.permits.has(task)) return stuck.cause;
    for (const need of needsOf(run, spec)) {
      if ('gate' in need) {
        const gate = run.gates.get(need.gate);
        if (gate?.open === false) return gate.cause;
        continue;
      }
      const cause = causes.get(need.task);
      if (cause !== undefined) return cause;
      const state = tasksOf(run).has(need.task) ? stateOf(run, need.task) : 'ok';
      if (UNSATISFYING.has(state) && !satisfies(state, specs[need.task]?.ignoreErrors ?? false)) {
        // What was blocked has the root of it all for its cause.
        return run.steps.get(need.task)?.cause ?? `needs ${endOf(run, specs, need.task)}`;
      }
    }
    return undefined;
  };
  // Needs point backwards nearly always, so one more round finds nothing.
  for (let before = -1; before !== causes.size; ) {
    before = causes.size;
    for (const task of waiting) {
      const spec = specs[task];
      if (spec === undefined || causes.has(task)) continue;
      const cause = causeOf(task, spec);
      if (cause !== undefined) causes.set(task, cause);
    }
  }
}

/** How a step ended, in the words of the controller: it finds the failure again by them. */
function endOf(run: RunRecord, specs: readonly TaskSpec[], task: number): string {
  const failure = run.steps.get(task)?.failure;
  const why = failure === undefined ? '' : `: ${failure.code}: ${failure.message}`;
  return `${specs[task]?.key ?? task} on ${run.share.node}, ${stateOf(run, task)}${why}`;
}
