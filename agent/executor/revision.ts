/** What a later revision of a run makes of the steps that earlier ones ended (ENGINE 3.4). Pure. */
import { type ActionKind, isActionKind } from '../../shared/actions/index.ts';
import { blocksAround, isBlock, partsOf } from '../../shared/blocks.ts';
import { isOfItem, loopItems, whySkipped } from '../../shared/conditions.ts';
import type { ErrorReport } from '../../shared/errors.ts';
import { inputsOf } from '../../shared/inputs.ts';
import type { Common, Json, StepResult, TaskSpec } from '../../shared/share.ts';
import type { NodeVariables } from '../../shared/variables.ts';
import { type Digest, inputsDigest, stepDigest } from './digest.ts';
import { namesBound } from './dry-run.ts';
import { exportedRegister } from './exported.ts';
import { looksAgain } from './looks-again.ts';
import { checkedRegister, registerOf } from './outcome.ts';
import type { ItemEnd } from './records.ts';
import type { Ending, RunRecord, StepRecord } from './state.ts';

/** What a task's step left in earlier revisions. */
export interface Earlier {
  /** How it had ended, or that it was blocked, when the revision was replaced; absent: it had not come so far. */
  last?: Ending | { blocked: string };
  /** Its last work, if that ended ok: nothing has been begun since. */
  done?: Ending;
  /** A revision after that did not want it (its `when`): what it made may since have been made otherwise by another step. */
  unwanted?: true;
  /** Items of a loop that ended ok while others did not. */
  items: readonly ItemLeft[];
}

export interface ItemLeft {
  inputs: string;
  end: ItemEnd;
  /** A revision after that did not want the step: see {@link Earlier.unwanted}. */
  unwanted?: true;
}

/** By task key, which holds however the graph has changed meanwhile. */
export function earlierOf(old: RunRecord): Map<string, Earlier> {
  const earlier = new Map<string, Earlier>();
  // What was not reached is as it was before: but its old failure has been taken back by that revision.
  for (const [key, { last: _last, ...rest }] of old.earlier) earlier.set(key, rest);
  const byPerson = new Set(old.share.revised?.skip.map(({ task }) => task));
  const again = new Set(old.share.revised?.rerun);
  for (const [task, step] of old.steps) {
    if (step.key === undefined) continue;
    const before = earlier.get(step.key);
    const items = itemsLeft(step, before?.items ?? [], again.has(task));
    earlier.set(step.key, leftBy(step, byPerson.has(task), before, items));
  }
  return earlier;
}

function leftBy(step: StepRecord, byPerson: boolean, before: Earlier | undefined, items: Earlier['items']): Earlier {
  const { ending, cause, state, hasBegun } = step;
  const last = ending ?? (state === 'blocked' && cause !== undefined ? { blocked: cause } : undefined);
  const isOver =
    state === 'failed' || state === 'interrupted' || state === 'blocked' || (state === 'skipped' && byPerson);
  const isUnwanted = state === 'skipped' && !byPerson;
  const left: Earlier = { items: isUnwanted ? items.map((item) => ({ ...item, unwanted: true })) : items };
  if (last !== undefined && isOver) left.last = last;
  const done = state === 'ok' ? ending : hasBegun ? undefined : before?.done;
  if (done === undefined) return left;
  left.done = done;
  if (isUnwanted || (state !== 'ok' && before?.unwanted === true)) left.unwanted = true;
  return left;
}

/** `again`: the step was asked to do them all once more. */
function itemsLeft(step: StepRecord, before: Earlier['items'], again: boolean): Earlier['items'] {
  const { state, hasBegun, byItem } = step;
  if (!hasBegun) return before;
  if (state === 'ok') return [];
  const done = [...byItem.values()].flatMap(({ ended, inputs }) =>
    ended?.outcome === 'ok' && inputs !== undefined ? [{ inputs, end: ended }] : [],
  );
  // Cut short before it came to those that stand: they still do.
  return again ? done : [...done, ...without(before, done)];
}

/** Each of `taken` takes one away that has the same inputs. */
function without(items: Earlier['items'], taken: Earlier['items']): Earlier['items'] {
  const left = [...items];
  for (const { inputs } of taken) {
    const at = left.findIndex((item) => item.inputs === inputs);
    if (at >= 0) left.splice(at, 1);
  }
  return left;
}

/**
 * The end of a waiting step that nothing is asked about: a person has taken it out, or it ends again as it had.
 * undefined: it is for its needs to say.
 */
export function endAtOnce(
  run: RunRecord,
  task: number,
  specs: readonly TaskSpec[],
): Ending | { blocked: string } | undefined {
  const { revised } = run.share;
  const spec = specs[task];
  if (revised === undefined || spec === undefined) return undefined;
  const skip = revised.skip.find((one) => one.task === task);
  if (skip !== undefined) return skipped(spec, skip.reason);
  // A block ends by what is in it.
  if (revised.rerun.includes(task) || isBlock(spec)) return undefined;
  if (revised.retryFailed && !wasRescued(run, task, specs, revised.rerun)) return undefined;
  const last = run.earlier.get(spec.key)?.last;
  return last === undefined || 'blocked' in last ? last : again(last);
}

/** It failed in a block that ended ok all the same: doing it again would not go with what the rescue has made of the node. */
function wasRescued(run: RunRecord, task: number, specs: readonly TaskSpec[], rerun: readonly number[]): boolean {
  const last = run.earlier.get(specs[task]?.key ?? '')?.last;
  const isBlocked = last !== undefined && 'blocked' in last;
  return blocksAround(specs, task).some(({ block }) => {
    const around = rerun.includes(block) ? undefined : run.earlier.get(specs[block]?.key ?? '');
    // One that was blocked with its whole block, which had ended ok before that, was not rescued.
    return around?.done !== undefined && !(isBlocked && around.last !== undefined);
  });
}

/** The end of a step that is not done, for a reason. */
export function skipped(spec: TaskSpec, reason: string): Ending {
  const register = registerOf(spec.action, undefined, { changed: false, failed: false, skipped: true });
  return {
    outcome: 'OUTCOME_SKIPPED',
    result: { changed: false, reason },
    bindings: spec.register === undefined ? {} : { [spec.register.name]: register },
  };
}

/** The same end once more; what it changed was told when it was done. */
function again(ending: Ending): Ending {
  const { diffs: _diffs, ...result } = ending.result;
  return { ...ending, result: { ...result, kept: true } };
}

/** What a step left that may count in this revision; undefined: nothing, or it is to run again. */
export function earlierFor(run: RunRecord, task: number, specs: readonly TaskSpec[]): Earlier | undefined {
  const { revised } = run.share;
  const spec = specs[task];
  if (revised === undefined || spec === undefined) return undefined;
  if (revised.rerun.includes(task) || looksAgain(spec) || isOwedAgain(run, task, specs)) return undefined;
  return run.earlier.get(spec.key);
}

/** Rescue and always are there for what their block does: when that was done anew, so are they. */
function isOwedAgain(run: RunRecord, task: number, specs: readonly TaskSpec[]): boolean {
  return blocksAround(specs, task).some(({ block, part }) => {
    const { block: main, rescue } = partsOf(specs, block);
    if (part === 'block') return false;
    return (part === 'rescue' ? main : [...main, ...rescue]).some((one) => hasWorked(run, one, specs));
  });
}

function hasWorked(run: RunRecord, task: number, specs: readonly TaskSpec[]): boolean {
  const [spec, step] = [specs[task], run.steps.get(task)];
  if (!isBlock(spec)) {
    const onlyLooked = step?.state === 'ok' && step.ending?.result.changed !== true;
    return step?.hasBegun === true && !(onlyLooked && spec !== undefined && looksAgain(spec));
  }
  return Object.values(partsOf(specs, task)).some((members) => members.some((one) => hasWorked(run, one, specs)));
}

export interface Standing {
  run: RunRecord;
  common: Common;
  variables: NodeVariables;
  task: number;
  spec: TaskSpec;
  digest: Digest;
}

/**
 * Does what was done in an earlier revision stand: `kept`, with its end; `refused`: it must not be done a second time with
 * other inputs without being asked to; undefined: it runs. Of a step whose needs are satisfied. Throws KkError EXPR_* and
 * ACTION_INPUT as the step itself would.
 */
export function standingOf(at: Standing): { kept: Ending } | { refused: ErrorReport } | undefined {
  const { run, common, variables, task, spec, digest } = at;
  const { done, unwanted = false } = earlierFor(run, task, common.tasks) ?? {};
  if (done === undefined || !isActionKind(spec.action)) return undefined;
  const first = spec.when.filter((condition) => spec.loop === undefined || !isOfItem(spec, condition));
  if (whySkipped(spec, first, variables.scopeOf(spec)) !== undefined) return undefined;
  const items = loopItems(spec, variables.scopeOf(spec));
  let repeatable = true;
  const digests = (items ?? [undefined]).map((item, index) => {
    const extra: Record<string, Json> = item === undefined ? {} : { item, loop_index: index };
    const scope = variables.scopeOf(spec, extra);
    const ofItem = items === undefined ? [] : spec.when.filter((condition) => isOfItem(spec, condition));
    if (whySkipped(spec, ofItem, scope) !== undefined) return undefined;
    const inputs = inputsOf(spec, spec.action as ActionKind, scope);
    repeatable &&= inputs.repeatable;
    return inputsDigest(digest, common, spec, inputs, scope, item);
  });
  const isSame = done.inputs !== undefined && done.inputs === stepDigest(digest, digests, items !== undefined);
  const whole = isSame && !(unwanted && repeatable) ? asWanted(spec, done) : undefined;
  if (whole !== undefined) return { kept: again(whole) };
  return repeatable ? undefined : { refused: rerunNeeded(isSame) };
}

/** The end with what it bound as the plan now wants that; undefined: it cannot be had any more. */
function asWanted(spec: TaskSpec, done: Ending): Ending | undefined {
  const { bindings } = done;
  if (namesBound(spec).some((name) => !Object.hasOwn(bindings, name))) return undefined;
  if (spec.register === undefined) return done;
  const { register: _register, ...result } = done.result;
  try {
    const value = checkedRegister(spec, bindings[spec.register.name] ?? null);
    return { ...done, result: { ...result, ...exportedRegister(spec, value) } };
  } catch {
    return undefined;
  }
}

/** {@link standingOf} says `kept`; what is wrong with the step it will say itself. */
export function keepsEarlier(at: Standing): boolean {
  try {
    const standing = standingOf(at);
    return standing !== undefined && 'kept' in standing;
  } catch {
    return false;
  }
}

/** `isSame`: only what it had bound is lost (values of sensitive steps are kept in memory alone), or of another type than wanted. */
function rerunNeeded(isSame: boolean): ErrorReport {
  return {
    code: 'RERUN_NEEDED',
    message: isSame
      ? 'The task was done in an earlier revision of this run, and its register is not there any more as the plan wants it (a sensitive one does not outlive the agent); it cannot be repeated safely.'
      : 'The task was done in an earlier revision of this run with other inputs, and it cannot be repeated safely.',
    remedy:
      'If it may be done a second time, resume with --rerun and the name of this task; else put its inputs back as they were, or take it out with `kk-controller skip`.',
  };
}

/** The result of an end that will be asked for again, without what is large. */
export function slim(result: StepResult): StepResult {
  const { diffs: _diffs, output, ...rest } = result;
  if (output === undefined || JSON.stringify(output).length > KEPT_OUTPUT) return rest;
  return { ...rest, output };
}

/** Characters of an output that are kept in memory until the run is forgotten: a node may end thousands of steps. */
const KEPT_OUTPUT = 4096;
