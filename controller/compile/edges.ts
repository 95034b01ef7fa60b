import type { ErrorReport } from '../../shared/errors.ts';
import type { Plan } from '../plan/types.ts';
import { type DraftTask, needTargets, sinksOf } from './draft.ts';
import type { Edge } from './graph.ts';
import type { NodeSets } from './node-set.ts';

/**
 * Gives every task its edges (ENGINE 1.1, 1.2): the stated `needs`, else its predecessor on the same node: the task before
 * it in the role, or for a role's first task everything of the role before. Reports needs that point nowhere.
 */
export function linkTasks(plan: Plan, drafts: DraftTask[], sets: NodeSets): ErrorReport[] {
  const problems: ErrorReport[] = [];
  const playNames = plan.plays.map((play) => play.name);
  for (const draft of drafts) {
    const needs = draft.document.needs;
    if (!needs) draft.edges.push(...predecessors(drafts, draft, sets));
    if (plan.plays[draft.play]?.afterAll && isFirstOfPlay(drafts, draft)) draft.edges.push(...barrier(drafts, draft));
  }
  // Stated needs come second: they may point forward, and their sinks depend on the implicit edges.
  for (const draft of drafts) {
    for (const need of draft.document.needs ?? []) {
      const targets = needTargets(drafts, draft, need, playNames);
      // A target that was filtered out by tags is an empty set, which satisfies; one that never was is checked by validate.
      for (const target of targets) draft.edges.push({ task: target.index, of: need.of });
    }
    draft.edges = unique(draft.edges);
    if (draft.edges.some((edge) => edge.task === draft.index)) {
      problems.push({
        code: 'GRAPH_SELF_NEED',
        message: `Task "${draft.document.name}" needs itself.`,
        remedy: 'Name another task in `needs`.',
        position: draft.document.at,
      });
    }
  }
  return problems;
}

/**
 * Walks back until every node of the task has a predecessor: a task before it may run on fewer nodes, and then the one
 * before that counts for the rest. Displaced tasks (`on:`, `run_once`) hold all who follow in their play.
 */
function predecessors(drafts: readonly DraftTask[], draft: DraftTask, sets: NodeSets): Edge[] {
  const edges: Edge[] = [];
  const uncovered = new Set(sets.get(draft.set).members);
  const cover = (tasks: readonly DraftTask[]): void => {
    const covered = new Set<number>();
    for (const task of tasks) {
      const nodes = sets.get(task.set).members;
      const elsewhere = task.displaced && task.play === draft.play && task.set !== draft.set;
      if (elsewhere && nodes.length > 0) edges.push({ task: task.index, of: 'all' });
      else if (nodes.some((node) => uncovered.has(node))) {
        edges.push({ task: task.index, of: 'same' });
        for (const node of nodes) covered.add(node);
      }
    }
    for (const node of covered) uncovered.delete(node);
  };

  const before = drafts.slice(0, draft.index);
  for (const task of before.filter((t) => t.use === draft.use).reverse()) {
    if (uncovered.size === 0) return edges;
    cover([task]);
  }
  const uses = [...new Set(before.filter((t) => t.use !== draft.use).map((t) => t.use))].sort((a, b) => b - a);
  for (const use of uses) {
    if (uncovered.size === 0) return edges;
    cover(sinksOf(before.filter((t) => t.use === use)));
  }
  return edges;
}

function isFirstOfPlay(drafts: readonly DraftTask[], draft: DraftTask): boolean {
  return drafts.find((other) => other.play === draft.play) === draft || draft.document.needs?.length === 0;
}

/** `after: all`: every step of the play before, on every node. */
function barrier(drafts: readonly DraftTask[], draft: DraftTask): Edge[] {
  const previous = drafts.filter((other) => other.play === draft.play - 1);
  return sinksOf(previous).map((task) => ({ task: task.index, of: 'all' as const }));
}

function unique(edges: readonly Edge[]): Edge[] {
  const seen = new Map(edges.map((edge) => [`${edge.of}/${edge.task}`, edge]));
  return [...seen.values()];
}
