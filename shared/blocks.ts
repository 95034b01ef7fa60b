import { hasEnded, type StepState, satisfies } from './lifecycle.ts';
import { BlockPart, type TaskSpec } from './share.ts';

/**
 * Blocks on one node (ENGINE 1.2, 1.9, 2.5). A block is a task of its own: its step is begun when all that the block needs is
 * there, and ends when its parts have ended. `rescue` runs when the tasks of `block` have ended and one of them badly
 * (a blocked one counts), `always` after both. What is outside sees the block's own step alone. Agent and controller ask
 * the same functions, so that they agree on what a failure means.
 */

/** The action of a block's own task; no kind of the catalogue, since nothing is done on the node. */
export const BLOCK = 'block';

type Tasks = readonly Pick<TaskSpec, 'action' | 'within' | 'ignoreErrors'>[];

/** The steps of one node. */
export interface NodeSteps {
  tasks: Tasks;
  /** Undefined: the task does not run on this node. */
  stateOf(task: number): StepState | undefined;
}

export type Parts = Readonly<Record<BlockPart, readonly number[]>>;

const NO_PARTS: Parts = { block: [], rescue: [], always: [] };

export function isBlock(task: { action: string } | undefined): boolean {
  return task?.action === BLOCK;
}

const known = new WeakMap<Tasks, ReadonlyMap<number, Parts>>();

/** The direct members of a block, on whatever node. */
export function partsOf(tasks: Tasks, block: number): Parts {
  const made = known.get(tasks) ?? gather(tasks);
  known.set(tasks, made);
  return made.get(block) ?? NO_PARTS;
}

function gather(tasks: Tasks): ReadonlyMap<number, Parts> {
  const blocks = new Map<number, Record<BlockPart, number[]>>();
  for (const [index, { within }] of tasks.entries()) {
    if (within === undefined) continue;
    const parts = blocks.get(within.block) ?? { block: [], rescue: [], always: [] };
    parts[within.part].push(index);
    blocks.set(within.block, parts);
  }
  return blocks;
}

/** The members of one part that run on this node. */
export function membersOf(steps: NodeSteps, block: number, part: BlockPart): number[] {
  return partsOf(steps.tasks, block)[part].filter((task) => steps.stateOf(task) !== undefined);
}

/** `open`: a step of them has not ended; `bad`: one of them satisfies nothing. */
export function standOf(steps: NodeSteps, members: readonly number[]): 'open' | 'good' | 'bad' {
  if (members.some((task) => !hasEnded(steps.stateOf(task) ?? 'ok'))) return 'open';
  return firstBad(steps, members) === undefined ? 'good' : 'bad';
}

/** The one that says why: what failed by itself before what was blocked by it. */
export function firstBad(steps: NodeSteps, members: readonly number[]): number | undefined {
  const bad = members.filter((task) => {
    const state = steps.stateOf(task);
    return state !== undefined && hasEnded(state) && !satisfies(state, steps.tasks[task]?.ignoreErrors ?? false);
  });
  return bad.find((task) => steps.stateOf(task) !== 'blocked') ?? bad[0];
}

/** How a begun block ends; undefined: a part of it has not ended yet. `rescued` and `because` name steps that ended badly. */
export type BlockEnd =
  | { outcome: 'ok'; rescued?: number }
  | { outcome: 'failed' | 'cancelled'; because: number; rescue?: number };

export function endOfBlock(steps: NodeSteps, block: number): BlockEnd | undefined {
  const part = (name: BlockPart): number[] => membersOf(steps, block, name);
  const [main, rescue, always] = [part('block'), part('rescue'), part('always')];
  if ([main, rescue, always].some((members) => standOf(steps, members) === 'open')) return undefined;
  const inMain = firstBad(steps, main);
  const inRescue = firstBad(steps, rescue);
  const inAlways = firstBad(steps, always);
  const rescued = inMain !== undefined && rescue.length > 0 && inRescue === undefined;
  const because = (rescued ? undefined : inMain) ?? inAlways;
  if (because === undefined) return { outcome: 'ok', ...(rescued ? { rescued: inMain } : {}) };
  const wasCancelled = [inMain, inRescue, inAlways].some((task) => task !== undefined && isCancelled(steps, task));
  const again = because === inMain ? inRescue : undefined;
  return { outcome: wasCancelled ? 'cancelled' : 'failed', because, ...(again === undefined ? {} : { rescue: again }) };
}

function isCancelled(steps: NodeSteps, task: number): boolean {
  return steps.stateOf(task) === 'cancelled';
}

/**
 * The first of these steps that has failed, and with it stops the ones beside it (ENGINE 2.5). A block counts from the moment
 * when nothing can rescue it any more, although its `always` has still to run.
 */
export function failureAmong(steps: NodeSteps, members: readonly number[]): number | undefined {
  return members.find((task) => {
    if (steps.tasks[task]?.ignoreErrors) return false;
    const state = steps.stateOf(task);
    return state === 'failed' || state === 'interrupted' || (state === 'begun' && isLost(steps, task));
  });
}

function isLost(steps: NodeSteps, task: number): boolean {
  if (!isBlock(steps.tasks[task])) return false;
  const fails = (part: BlockPart): boolean => failureAmong(steps, membersOf(steps, task, part)) !== undefined;
  return fails('rescue') || fails('always') || (fails('block') && membersOf(steps, task, 'rescue').length === 0);
}

/** The step that a block failed by; any other step is its own. */
export function rootOf(steps: NodeSteps, task: number): number {
  if (!isBlock(steps.tasks[task])) return task;
  const parts = BlockPart.options.map((part) => membersOf(steps, task, part));
  for (const find of [failureAmong, firstBad]) {
    for (const members of parts) {
      const found = find(steps, members);
      if (found !== undefined) return rootOf(steps, found);
    }
  }
  return task;
}

/** The blocks around a task, from the innermost, each with the part that the task is in. */
export function blocksAround(tasks: Tasks, task: number): { block: number; part: BlockPart }[] {
  const within = tasks[task]?.within;
  return within === undefined ? [] : [within, ...blocksAround(tasks, within.block)];
}

/** Will a rescue on this node take up what fails here? */
export function isCaught(steps: NodeSteps, task: number): boolean {
  return blocksAround(steps.tasks, task).some(
    ({ block, part }) => part === 'block' && membersOf(steps, block, 'rescue').length > 0,
  );
}

/** Has a rescue made good what ended badly here? Of a step that satisfies nothing. */
export function isRescued(steps: NodeSteps, task: number): boolean {
  return blocksAround(steps.tasks, task).some(({ block, part }) => part === 'block' && steps.stateOf(block) === 'ok');
}

/** Everything in a block that ended badly, blocks within it too, but not what a block within it has rescued itself. */
export function badWithin(steps: NodeSteps, block: number): number[] {
  const bad = BlockPart.options
    .flatMap((part) => membersOf(steps, block, part))
    .filter((task) => firstBad(steps, [task]) !== undefined);
  return bad.flatMap((task) => [task, ...badWithin(steps, task)]);
}
