import type { LocalActionKind } from '../../shared/actions/local.ts';
import type { ErrorReport } from '../../shared/errors.ts';
import { BlockPart } from '../../shared/share.ts';
import type { NeedDocument, Plan, TaskDocument } from '../plan/types.ts';
import { type DraftTask, needTargets, sinksOf } from './draft.ts';
import type { Edge } from './graph.ts';
import { contains, type NodeSets } from './node-set.ts';

/**
 * Gives every task of the run its edges (ENGINE 1.1, 1.2): the stated `needs`, else its predecessor on the same node: the
 * task before it in the role, or for a role's first task everything of the role before. `all`: filtered tasks too.
 * A task in a block follows those before it in its part; the first of a part follows nobody: its block lets it begin.
 * Reports a task that needs itself, or what is hidden in a block, or that leaves its block.
 */
export function linkTasks(plan: Plan, all: readonly DraftTask[], sets: NodeSets): ErrorReport[] {
  const drafts = all.filter((draft) => draft.index >= 0);
  const playNames = plan.plays.map((play) => play.name);
  for (const draft of drafts) {
    if (!draft.document.needs) draft.edges.push(...predecessors(plan, drafts, draft, sets));
  }
  const problems: ErrorReport[] = [];
  // Stated needs come second: they may point forward, and their sinks depend on the implicit edges.
  for (const draft of drafts) {
    for (const need of draft.document.needs ?? []) {
      const found = needTargets(all, draft, need, playNames, sets);
      if ('hidden' in found) problems.push(hiddenNeed(draft, need, found.hidden));
      else for (const target of found.targets) draft.edges.push({ task: target.index, of: need.of });
    }
  }
  for (const draft of drafts) draft.edges.push(...fetches(drafts, draft));
  for (const draft of drafts) {
    if (plan.plays[draft.play]?.afterAll && !draft.within) draft.edges.push(...barrier(drafts, draft, sets));
    draft.edges = unique(draft.edges);
  }
  const selfish = drafts
    .filter((draft) => draft.edges.some((edge) => edge.task === draft.index))
    .map((draft) => ({
      code: 'GRAPH_SELF_NEED',
      message: `Task "${draft.document.name}" needs itself.`,
      remedy: 'Name another task in `needs`.',
      position: draft.document.at,
    }));
  return [...problems, ...selfish, ...drafts.flatMap((draft) => leavesBlock(plan, draft, sets) ?? [])];
}

function hiddenNeed(draft: DraftTask, need: NeedDocument, hidden: DraftTask): ErrorReport {
  const block = hidden.within?.block ?? hidden;
  const message =
    block === hidden
      ? `Task "${draft.document.name}" needs the block "${need.name}" that it is in.`
      : `Task "${draft.document.name}" needs "${need.name}", which is in a part of the block "${block.document.name}" that it is not in.`;
  const remedy =
    block === hidden
      ? 'Name a task beside it.'
      : `From outside a block is one: name the block. Its rescue begins when all of its block has ended, and its always after both.`;
  return { code: 'GRAPH_NEED_HIDDEN', message, remedy, position: need.at };
}

/** A task of a block runs where the block does: elsewhere nobody would begin or end it. */
function leavesBlock(plan: Plan, draft: DraftTask, sets: NodeSets): ErrorReport | undefined {
  if (!draft.within) return undefined;
  const inside = sets.get(draft.within.block.set);
  const outside = sets.get(draft.set).members.find((node) => !contains(inside, node));
  if (outside === undefined) return undefined;
  return {
    code: 'GRAPH_BLOCK_NODES',
    message: `Task "${draft.document.name}" runs on ${plan.inventory.nodes[outside]?.name}, where its block "${draft.within.block.document.name}" does not.`,
    remedy: 'Give the block an `on` that has all nodes of its tasks, or move the task out of it.',
    position: draft.document.at,
  };
}

/**
 * Everything that comes before a task on its way through the graph: its edges, what the blocks around it wait for, and the
 * order of a block's parts. A block comes after all that is in it. `drafts`: those that take part, by index.
 */
export function orderOf(drafts: readonly DraftTask[]): Edge[][] {
  const members = Map.groupBy(
    drafts.filter(({ within }) => within),
    ({ within }) => within?.block,
  );
  const same = (tasks: readonly DraftTask[]): Edge[] => tasks.map(({ index }) => ({ task: index, of: 'same' }));
  return drafts.map((draft) => {
    const order = [...draft.edges, ...same(members.get(draft) ?? [])];
    for (let { within } = draft; within; within = within.block.within) {
      const { block, part } = within;
      const rank = PARTS.indexOf(part);
      const before = (members.get(block) ?? []).filter((other) => PARTS.indexOf(other.within?.part ?? part) < rank);
      order.push(...block.edges, ...same(before));
    }
    return unique(order);
  });
}

const PARTS = BlockPart.options;

/**
 * Walks back until every node of the task has a predecessor: a task before it may run on fewer nodes, and then the one
 * before that counts for the rest. Displaced tasks (`on:`, `run_once`) hold all who follow in their play.
 * Prechecks come before every change (ENGINE 1.5), so those of a later play wait for prechecks only.
 */
function predecessors(plan: Plan, drafts: readonly DraftTask[], draft: DraftTask, sets: NodeSets): Edge[] {
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

  const isPrecheck = plan.plays[draft.play]?.precheck;
  const { within } = draft;
  const before = drafts
    .slice(0, draft.index)
    .filter((t) => t.within?.block === within?.block && t.within?.part === within?.part)
    .filter((t) => !isPrecheck || plan.plays[t.play]?.precheck);
  for (const task of before.filter((t) => t.use === draft.use).reverse()) {
    if (uncovered.size === 0) return edges;
    cover([task]);
  }
  const uses = [...new Set(before.filter((t) => t.use !== draft.use).map((t) => t.use))].sort((a, b) => b - a);
  for (const use of uses) {
    if (uncovered.size === 0) return edges;
    cover(
      sinksOf(
        before.filter((t) => t.use === use),
        sets,
      ),
    );
  }
  return edges;
}

/** What names a component needs the nearest task before it that fetches it, or else the first that does (ENGINE 1.2). */
function fetches(drafts: readonly DraftTask[], draft: DraftTask): Edge[] {
  if (draft.document.action === FETCHES) return [];
  return (componentsOf(draft.document) ?? []).flatMap((component): Edge[] => {
    const bring = drafts.filter(
      ({ document }) => document.action === FETCHES && document.components?.includes(component),
    );
    const found = bring.findLast(({ order }) => order < draft.order) ?? bring[0];
    return found === undefined ? [] : [{ task: found.index, of: 'all' }];
  });
}

const FETCHES = 'blob.fetch' satisfies LocalActionKind;

/** Those of the tasks that restore it, too. */
function componentsOf({ components, recover }: TaskDocument): string[] | undefined {
  const aside = recover.flatMap((task) => componentsOf(task) ?? []);
  return aside.length === 0 ? components : [...(components ?? []), ...aside];
}

/**
 * `after: all`: everything of the play before, on every node. Stated where a task begins its play on some node; the tasks
 * that follow those inside the play wait with them.
 */
function barrier(drafts: readonly DraftTask[], draft: DraftTask, sets: NodeSets): Edge[] {
  const inside = draft.edges.filter((edge) => drafts[edge.task]?.play === draft.play && edge.task !== draft.index);
  const follows = (node: number): boolean =>
    inside.some(({ task, of }) => {
      const target = sets.get(drafts[task]?.set ?? -1);
      return of === 'same' ? contains(target, node) : target.members.length > 0;
    });
  if (inside.length > 0 && sets.get(draft.set).members.every(follows)) return [];
  const previous = drafts.filter((other) => other.play === draft.play - 1 && !other.within);
  return sinksOf(previous, sets).map((task) => ({ task: task.index, of: 'all' as const }));
}

function unique(edges: readonly Edge[]): Edge[] {
  const seen = new Map(edges.map((edge) => [`${edge.of}/${edge.task}`, edge]));
  return [...seen.values()];
}
