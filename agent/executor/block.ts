/** What blocks mean to the steps of this node: which may start, which never will, and how a block ends. Pure. */
import {
  blocksAround,
  endOfBlock,
  failureAmong,
  membersOf,
  type NodeSteps,
  rootOf,
  standOf,
} from '../../shared/blocks.ts';
import { whySkipped } from '../../shared/conditions.ts';
import { type ErrorReport, reportOf } from '../../shared/errors.ts';
import type { Scope } from '../../shared/expr/index.ts';
import { hasEnded } from '../../shared/lifecycle.ts';
import type { TaskSpec } from '../../shared/share.ts';
import { Unknown } from '../actions/unknown.ts';
import { skipped } from './revision.ts';
import type { Ending, RunRecord } from './state.ts';

/** May a step start as far as the block around it is concerned? */
export function isOpen(steps: NodeSteps, task: number): boolean {
  const within = steps.tasks[task]?.within;
  if (within === undefined) return true;
  const { block, part } = within;
  if (steps.stateOf(block) !== 'begun') return false;
  if (part === 'block') return true;
  const main = standOf(steps, membersOf(steps, block, 'block'));
  if (part === 'rescue') return main === 'bad';
  return main !== 'open' && standOf(steps, membersOf(steps, block, 'rescue')) !== 'open';
}

/**
 * Is the step in the `always` of a block that has begun? It runs after Stop, Cancel and CloseGate too (ENGINE 2.5), and whatever
 * failed outside that block.
 */
export function isOwed(steps: NodeSteps, task: number): boolean {
  return blocksAround(steps.tasks, task).some(({ block, part }) => part === 'always' && hasBegun(steps, block));
}

function hasBegun(steps: NodeSteps, block: number): boolean {
  return steps.stateOf(block) === 'begun';
}

/** The failed step that stops this one: in the same part of a block, or beside a block around it (ENGINE 2.5). */
export function stopperOf(steps: NodeSteps, task: number, top: readonly number[]): number | undefined {
  for (const { block, part } of blocksAround(steps.tasks, task)) {
    const failed = failureAmong(steps, membersOf(steps, block, part));
    if (failed !== undefined) return failed;
    if (part === 'always' && hasBegun(steps, block)) return undefined;
  }
  return failureAmong(steps, top);
}

/** The end of a step that its block makes needless; undefined: none. */
export function needless(run: RunRecord, steps: NodeSteps, spec: TaskSpec): Ending | undefined {
  if (spec.within === undefined) return undefined;
  const { block, part } = spec.within;
  const state = steps.stateOf(block);
  const title = `the block "${nameOf(steps, block)}"`;
  if (state === 'skipped') {
    const why = run.steps.get(block)?.ending?.result.reason;
    return skipped(spec, why ?? `${title} was skipped`);
  }
  if (part !== 'rescue' || state !== 'begun') return undefined;
  const isGood = standOf(steps, membersOf(steps, block, 'block')) === 'good';
  return isGood ? skipped(spec, `nothing to rescue: ${title} went well`) : undefined;
}

/** Why a step that waits in a block that has ended without it will never run; undefined: it has not. */
export function leftBehind(steps: NodeSteps, task: number): string | undefined {
  const within = steps.tasks[task]?.within;
  const state = within && steps.stateOf(within.block);
  if (within === undefined || state === undefined || !hasEnded(state) || state === 'skipped') return undefined;
  return `the block "${nameOf(steps, within.block)}" is ${state}`;
}

function nameOf(steps: NodeSteps, task: number): string {
  return (steps.tasks[task] as TaskSpec | undefined)?.name ?? String(task);
}

/** How a block begins: an end at once, when its `when` does not hold or cannot be judged; undefined: with its tasks. */
export function atBegin(run: RunRecord, spec: TaskSpec, scope: Scope): Ending | undefined {
  try {
    const why = whySkipped(spec, spec.when, scope);
    return why === undefined ? undefined : skipped(spec, why);
  } catch (thrown) {
    if (thrown instanceof Unknown) {
      const result = { changed: false, unknown: thrown.message };
      return { outcome: 'OUTCOME_SKIPPED', result, bindings: {} };
    }
    return failedWith(run, spec, reportOf(thrown));
  }
}

function failedWith(run: RunRecord, spec: TaskSpec, error: ErrorReport): Ending {
  const place = error.position ?? { file: spec.file, line: spec.at[0], column: spec.at[1] };
  const full = { ...error, node: run.share.node, task: spec.key, position: place };
  return { outcome: 'OUTCOME_FAILED', result: { changed: false, error: full }, bindings: {} };
}

/** The end of a begun block whose parts have ended; undefined: something of it has not. */
export function atEnd(run: RunRecord, steps: NodeSteps, task: number, spec: TaskSpec): Ending | undefined {
  const end = endOfBlock(steps, task);
  if (end === undefined) return undefined;
  if (end.outcome === 'ok') {
    const reason = end.rescued === undefined ? {} : { reason: `rescued: ${story(run, steps, end.rescued)}` };
    return { outcome: 'OUTCOME_OK', result: { changed: false, ...reason }, bindings: {} };
  }
  if (end.outcome === 'cancelled')
    return { outcome: 'OUTCOME_CANCELLED', result: { changed: false, reason: 'the run was cancelled' }, bindings: {} };
  const again = end.rescue === undefined ? '' : `; and its rescue: ${story(run, steps, end.rescue)}`;
  return failedWith(run, spec, {
    code: 'BLOCK_FAILED',
    message: `The block did not do its work: ${story(run, steps, end.because)}${again}.`,
    remedy: 'See the tasks that are named; what is mended there is done by a retry.',
  });
}

function story(run: RunRecord, steps: NodeSteps, task: number): string {
  const root = rootOf(steps, task);
  const step = run.steps.get(root);
  const why = step?.failure ? `${step.failure.code} ${step.failure.message.replace(/\.$/, '')}` : step?.cause;
  return `"${nameOf(steps, root)}" ${step?.state ?? 'failed'}${why === undefined ? '' : `: ${why}`}`;
}

/** A permit step is let finish after a cancel (ENGINE 2.6), with the block that holds the permit; and what is owed. */
export function mayFinish(tasks: readonly TaskSpec[], task: number): boolean {
  if (tasks[task]?.permit !== undefined) return true;
  return blocksAround(tasks, task).some(({ block, part }) => part === 'always' || tasks[block]?.permit !== undefined);
}
