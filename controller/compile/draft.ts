import type { NeedDocument, Plan, Play, RoleUse, TaskDocument } from '../plan/types.ts';
import type { Edge } from './graph.ts';
import type { NodeSets } from './node-set.ts';
import { isSelected, type SelectOptions } from './select.ts';

/** A task that takes part in the run, before its edges are known. */
export interface DraftTask {
  index: number;
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

/** Lists the tasks of a plan in order, with the nodes each runs on. Tag-filtered ones are left out. */
export function draftTasks(plan: Plan, sets: NodeSets, options: DraftOptions): DraftTask[] {
  const nodeIndex = new Map(plan.inventory.nodes.map((node, index) => [node.name, index]));
  const indexesOf = (names: readonly string[]): number[] =>
    names.map((name) => nodeIndex.get(name) ?? -1).filter((i) => i >= 0);
  const drafts: DraftTask[] = [];
  const keys = new Map<string, number>();
  let use = -1;

  plan.plays.forEach((play, playIndex) => {
    const playNodes = indexesOf(play.nodes);
    for (const roleUse of play.roles) {
      use += 1;
      if (play.precheck ? options.skipPrechecks : options.prechecksOnly) continue;
      for (const document of plan.roles[roleUse.role]?.tasks ?? []) {
        if (!play.precheck && !isSelected(document, roleUse.tags, options)) continue;
        let nodes = document.on ? indexesOf(expandSelector(plan, document.on)) : playNodes;
        if (document.runOnce) {
          const first = nodes.find((node) => options.mayRunOn(document, roleUse, play, node)) ?? nodes[0];
          nodes = first === undefined ? [] : [first];
        }
        const path = `${play.name}/${roleUse.role}/${document.id}`;
        const seen = keys.get(path) ?? 0;
        keys.set(path, seen + 1);
        drafts.push({
          index: drafts.length,
          play: playIndex,
          use,
          role: roleUse.role,
          roleUse,
          document,
          key: seen === 0 ? path : `${path}#${seen + 1}`,
          set: sets.intern(nodes),
          displaced: document.on !== undefined || document.runOnce,
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

/** Which tasks a stated need points to: a task in the same role, then play, then plan; all tasks of a role or play. */
export function needTargets(
  drafts: readonly DraftTask[],
  from: DraftTask,
  need: NeedDocument,
  playNames: readonly string[],
): DraftTask[] {
  const others = drafts.filter((d) => d !== from);
  if (need.target === 'play') return sinksOf(others.filter((d) => playNames[d.play] === need.name));
  if (need.target === 'role') {
    const ofRole = others.filter((d) => d.role === need.name);
    const nearest = ofRole.findLast((d) => d.index < from.index) ?? ofRole[0];
    return nearest ? sinksOf(ofRole.filter((d) => d.use === nearest.use)) : [];
  }
  const slash = need.name.indexOf('/');
  const matches = others.filter((d) =>
    slash > 0
      ? `${d.role}/${d.document.id}` === need.name
      : d.document.id === need.name || d.document.name === need.name,
  );
  const near =
    matches.find((d) => d.use === from.use) ??
    matches.findLast((d) => d.play === from.play && d.index < from.index) ??
    matches.findLast((d) => d.index < from.index) ??
    matches[0];
  return near ? [near] : [];
}

/** The tasks nobody else of the list comes after: when these have ended on a node, all of the list has. */
export function sinksOf(tasks: readonly DraftTask[]): DraftTask[] {
  const followed = new Set<number>();
  for (const task of tasks) for (const edge of task.edges) if (edge.of === 'same') followed.add(edge.task);
  return tasks.filter((task) => !followed.has(task.index));
}
