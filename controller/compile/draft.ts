import { isBlock } from '../../shared/blocks.ts';
import type { BlockPart } from '../../shared/share.ts';
import type { NeedDocument, Plan, Play, RoleUse, TaskDocument } from '../plan/types.ts';
import type { Edge } from './graph.ts';
import { contains, type NodeSets } from './node-set.ts';
import { isSelected, type SelectOptions } from './select.ts';

/** A task of the plan, before its edges are known. */
export interface DraftTask {
  /** Index in the graph; -1: filtered out, by tags or a `--skip` word. What needs it is satisfied (ENGINE 1.2). */
  index: number;
  /** Place in the plan, filtered ones counted. */
  order: number;
  play: number;
  /** Counts uses of roles through the whole plan: a role used twice has two. */
  use: number;
  role: string;
  roleUse: RoleUse;
  document: TaskDocument;
  key: string;
  set: number;
  /** It runs elsewhere than its play does (`on:`, `run_once`, once at the controller): whoever follows waits for the step, wherever it is. */
  displaced: boolean;
  /** The block that it is a direct member of. */
  within: { block: DraftTask; part: BlockPart } | undefined;
  /** What the agent is told to wait for; what follows from blocks alone comes on top, see orderOf. */
  edges: Edge[];
}

export interface DraftOptions extends SelectOptions {
  skipPrechecks: boolean;
  /** Leave everything out but the precheck plays. */
  prechecksOnly: boolean;
  /** Does the task's `when` hold on this node as far as it can be told now? (ENGINE 1.6) */
  mayRunOn: (task: TaskDocument, use: RoleUse, play: Play, node: number) => boolean;
}

/** Lists the tasks of a plan in order, with the nodes each runs on. Filtered ones are there, because needs may name them. */
export function draftTasks(plan: Plan, sets: NodeSets, options: DraftOptions): DraftTask[] {
  const nodeIndex = new Map(plan.inventory.nodes.map((node, index) => [node.name, index]));
  const indexesOf = (names: readonly string[]): number[] =>
    names.map((name) => nodeIndex.get(name) ?? -1).filter((i) => i >= 0);
  const drafts: DraftTask[] = [];
  const keys = new Map<string, number>();
  let use = -1;
  let index = 0;

  plan.plays.forEach((play, playIndex) => {
    const playNodes = indexesOf(play.nodes);
    const playSet = sets.intern(playNodes);
    for (const roleUse of play.roles) {
      use += 1;
      const documents = plan.roles[roleUse.role]?.tasks ?? [];
      const taken = new Set(
        documents.filter((document) =>
          play.precheck
            ? !options.skipPrechecks
            : !options.prechecksOnly && !isBlock(document) && isSelected(document, roleUse.tags, options),
        ),
      );
      // A block takes part as soon as one of its tasks does.
      for (const document of taken) if (document.within) taken.add(document.within.block);
      const drafted = new Map<TaskDocument, DraftTask>();
      for (const document of documents) {
        const selected = taken.has(document);
        const block = document.within && drafted.get(document.within.block);
        const isOnce = document.runOnce || (document.place !== undefined && document.per === undefined);
        const selector = document.on ?? document.per;
        const around = block ? sets.get(block.set).members : playNodes;
        let nodes = selector ? indexesOf(expandSelector(plan, selector)) : around;
        // For a task `per` node the member is the node: it stands in the order of the play as a task on fewer nodes does.
        const isWithin = document.per !== undefined && nodes.every((node) => contains(sets.get(playSet), node));
        const displaced = (selector !== undefined && !isWithin) || isOnce;
        if (isOnce) {
          const first = nodes.find((node) => options.mayRunOn(document, roleUse, play, node)) ?? nodes[0];
          nodes = first === undefined ? [] : [first];
        }
        const path = `${play.name}/${roleUse.role}/${document.id}`;
        const seen = keys.get(path) ?? 0;
        keys.set(path, seen + 1);
        const draft: DraftTask = {
          index: selected ? index++ : -1,
          order: drafts.length,
          play: playIndex,
          use,
          role: roleUse.role,
          roleUse,
          document,
          key: seen === 0 ? path : `${path}#${seen + 1}`,
          set: displaced || selector ? sets.intern(selected ? nodes : []) : (block?.set ?? playSet),
          displaced,
          within: document.within && block && { block, part: document.within.part },
          edges: [],
        };
        drafted.set(document, draft);
        drafts.push(draft);
      }
    }
  });
  return drafts;
}

function expandSelector(plan: Plan, names: readonly string[]): string[] {
  return names.flatMap((name) => plan.inventory.groups[name]?.nodes ?? [name]);
}

/**
 * Which tasks a stated need points to: a task in the same role, then play, then plan; all tasks of a role or play. The
 * meaning of a name does not change with tags: one that was filtered out is found, and then dropped. A block is named as a
 * whole (ENGINE 1.2): `hidden` is the task in it that only a task beside it could name.
 */
export function needTargets(
  all: readonly DraftTask[],
  from: DraftTask,
  need: NeedDocument,
  playNames: readonly string[],
  sets: NodeSets,
): { targets: DraftTask[] } | { hidden: DraftTask } {
  const takesPart = (task: DraftTask): boolean => task.index >= 0;
  const outer = (task: DraftTask): boolean => task.within === undefined && takesPart(task);
  if (need.target === 'play') {
    const ofPlay = all.filter((d) => playNames[d.play] === need.name && outer(d));
    return { targets: sinksOf(ofPlay, sets) };
  }
  if (need.target === 'role') {
    const ofRole = all.filter((d) => d.role === need.name);
    const nearest = ofRole.findLast((d) => d.order < from.order) ?? ofRole[0];
    const used = ofRole.filter((d) => d.use === nearest?.use && outer(d));
    return { targets: sinksOf(used, sets) };
  }
  const slash = need.name.indexOf('/');
  const named = all.filter((d) =>
    slash > 0
      ? `${d.role}/${d.document.id}` === need.name
      : d.document.id === need.name || d.document.name === need.name,
  );
  const matches = named.filter((d) => mayName(from, d));
  if (matches.length === 0 && named[0]) return { hidden: named[0] };
  const near =
    matches.find((d) => d.use === from.use) ??
    matches.findLast((d) => d.play === from.play && d.order < from.order) ??
    matches.findLast((d) => d.order < from.order) ??
    matches[0];
  return { targets: near && takesPart(near) ? [near] : [] };
}

/** What stands beside a task, or beside a block around it, in the same part. */
function mayName(from: DraftTask, target: DraftTask): boolean {
  if (target.within === undefined) return !isAround(target, from);
  for (let { within } = from; within; within = within.block.within) {
    if (target.within.block === within.block) return target.within.part === within.part && !isAround(target, from);
  }
  return false;
}

function isAround(block: DraftTask, task: DraftTask): boolean {
  return task.within !== undefined && (task.within.block === block || isAround(block, task.within.block));
}

/**
 * The tasks that end last: a task is left out when on each of its nodes another one of the list follows it there. When
 * the others have ended on a node, all of the list has.
 */
export function sinksOf(tasks: readonly DraftTask[], sets: NodeSets): DraftTask[] {
  const followers = new Map<number, DraftTask[]>();
  for (const task of tasks)
    for (const edge of task.edges)
      if (edge.of === 'same') followers.set(edge.task, [...(followers.get(edge.task) ?? []), task]);
  return tasks.filter((task) => {
    const after = followers.get(task.index) ?? [];
    if (after.some((follower) => follower.set === task.set)) return false;
    return !sets.get(task.set).members.every((node) => after.some(({ set }) => contains(sets.get(set), node)));
  });
}
