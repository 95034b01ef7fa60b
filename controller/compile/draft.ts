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
  /** It runs elsewhere than its play does (`on:`, `run_once`): whoever follows waits for the step, wherever it is. */
  displaced: boolean;
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
      for (const document of plan.roles[roleUse.role]?.tasks ?? []) {
        const selected = play.precheck
          ? !options.skipPrechecks
          : !options.prechecksOnly && isSelected(document, roleUse.tags, options);
        const displaced = document.on !== undefined || document.runOnce;
        let nodes = document.on ? indexesOf(expandSelector(plan, document.on)) : playNodes;
        if (document.runOnce) {
          const first = nodes.find((node) => options.mayRunOn(document, roleUse, play, node)) ?? nodes[0];
          nodes = first === undefined ? [] : [first];
        }
        const path = `${play.name}/${roleUse.role}/${document.id}`;
        const seen = keys.get(path) ?? 0;
        keys.set(path, seen + 1);
        drafts.push({
          index: selected ? index++ : -1,
          order: drafts.length,
          play: playIndex,
          use,
          role: roleUse.role,
          roleUse,
          document,
          key: seen === 0 ? path : `${path}#${seen + 1}`,
          set: displaced ? sets.intern(selected ? nodes : []) : playSet,
          displaced,
          edges: [],
        });
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
 * meaning of a name does not change with tags: one that was filtered out is found, and then dropped.
 */
export function needTargets(
  all: readonly DraftTask[],
  from: DraftTask,
  need: NeedDocument,
  playNames: readonly string[],
  sets: NodeSets,
): DraftTask[] {
  const takesPart = (task: DraftTask): boolean => task.index >= 0;
  if (need.target === 'play') {
    return sinksOf(
      all.filter((d) => playNames[d.play] === need.name && takesPart(d)),
      sets,
    );
  }
  if (need.target === 'role') {
    const ofRole = all.filter((d) => d.role === need.name);
    const nearest = ofRole.findLast((d) => d.order < from.order) ?? ofRole[0];
    const used = ofRole.filter((d) => d.use === nearest?.use && takesPart(d));
    return sinksOf(used, sets);
  }
  const slash = need.name.indexOf('/');
  const matches = all.filter((d) =>
    slash > 0
      ? `${d.role}/${d.document.id}` === need.name
      : d.document.id === need.name || d.document.name === need.name,
  );
  const near =
    matches.find((d) => d.use === from.use) ??
    matches.findLast((d) => d.play === from.play && d.order < from.order) ??
    matches.findLast((d) => d.order < from.order) ??
    matches[0];
  return near && takesPart(near) ? [near] : [];
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
