import { blocksAround } from '../../shared/blocks.ts';
import type { BlockPart, Need } from '../../shared/share.ts';
import type { Gate, GraphPlay, GraphTask, TaskGraph } from '../compile/graph.ts';

/** What would run, where and in which order: the picture that `plan` prints. */
export interface ExplainView {
  name: string;
  nodes: string[];
  steps: number;
  plays: ExplainPlay[];
}

export interface ExplainPlay {
  play: string;
  precheck: boolean;
  /** Its changes wait until every node has passed the prechecks. */
  afterPrechecks: boolean;
  nodes: string[];
  /** One after the other, each a list of nodes; empty: all at once. */
  batches: string[][];
  /** Percent of nodes that may fail before the play stops; absent: none stated. */
  maxFailPercentage?: number;
  roles: { role: string; tasks: ExplainTask[] }[];
}

export interface ExplainTask {
  task: string;
  key: string;
  /** The blocks that it is in, from the outermost, with the part. */
  within: { block: string; part: BlockPart }[];
  action: string;
  /** Done by the controller itself, for these nodes. */
  place?: 'controller';
  nodes: string[];
  /** What it waits for besides the task before it on the same node, the batch before and the prechecks, in words. */
  waitsFor: string[];
  /** Does it run only under a condition? */
  conditional: boolean;
  permit?: { name: string; count: number };
  lock?: string;
  alone: boolean;
}

export function explain(graph: TaskGraph): ExplainView {
  const plays = graph.plays.map((play) => explainPlay(graph, play)).filter((play) => play.roles.length > 0);
  const steps = graph.tasks.reduce((sum, task) => sum + (graph.sets[task.set]?.members.length ?? 0), 0);
  return { name: graph.name, nodes: [...graph.nodes], steps, plays };
}

function namesOf(graph: TaskGraph, set: number): string[] {
  return (graph.sets[set]?.members ?? []).map((node) => graph.nodes[node] ?? '');
}

function explainPlay(graph: TaskGraph, play: GraphPlay): ExplainPlay {
  const roles: ExplainPlay['roles'] = [];
  for (const task of graph.tasks.filter((candidate) => candidate.play === play.index)) {
    if (roles.at(-1)?.role !== task.role) roles.push({ role: task.role, tasks: [] });
    roles.at(-1)?.tasks.push(explainTask(graph, task));
  }
  const isGuarded = graph.common.tasks.some(({ play: of, needs }) => of === play.index && needs.some(isPrecheck));
  const members = graph.sets[play.set]?.members ?? [];
  const batches = Array.from({ length: play.batches }, (_, batch) =>
    members.filter((node) => play.batchOf?.[node] === batch).map((node) => graph.nodes[node] ?? ''),
  );
  return {
    play: play.name,
    precheck: play.precheck,
    afterPrechecks: isGuarded,
    nodes: namesOf(graph, play.set),
    batches,
    ...(play.budget === undefined ? {} : { maxFailPercentage: play.budget }),
    roles,
  };
}

function explainTask(graph: TaskGraph, task: GraphTask): ExplainTask {
  const spec = graph.common.tasks[task.index];
  return {
    task: task.name,
    key: task.key,
    within: blocksAround(graph.common.tasks, task.index)
      .map(({ block, part }) => ({ block: graph.tasks[block]?.key ?? '', part }))
      .toReversed(),
    action: task.action,
    ...(spec?.place ? { place: spec.place } : {}),
    nodes: namesOf(graph, task.set),
    waitsFor: (spec?.needs ?? []).filter((need) => !isPrecheck(need)).flatMap((need) => needText(graph, task, need)),
    conditional: (spec?.when.length ?? 0) > 0,
    ...(task.permit ? { permit: task.permit } : {}),
    ...(spec?.lock === undefined ? {} : { lock: spec.lock }),
    alone: spec?.alone ?? false,
  };
}

function isPrecheck(need: Need): boolean {
  return 'gate' in need && need.gate === 'precheck';
}

/** The predecessor is what everybody expects and is not said; everything else is. */
function needText(graph: TaskGraph, task: GraphTask, need: Need): string[] {
  const [, own] = 'gate' in need ? (/^same\/(\d+)$/.exec(need.gate) ?? []) : [];
  const before = 'task' in need ? need.task : Number(own ?? -1);
  const isUsual = before === siblingBefore(graph, task) || isEndOfRoleBefore(graph, task, before);
  if (before >= 0 && isUsual) return [];
  if ('task' in need) {
    return [`${titleOf(graph, need.task)} on the same node`];
  }
  const gate = graph.gates.find(({ id }) => id === need.gate);
  return gate ? [gateText(graph, gate)] : [];
}

/** The task before it where it stands: in its part of a block, or outside all. */
function siblingBefore(graph: TaskGraph, task: GraphTask): number {
  const within = graph.common.tasks[task.index]?.within;
  return graph.common.tasks.findLastIndex(
    (other, index) =>
      index < task.index && other.within?.block === within?.block && other.within?.part === within?.part,
  );
}

function isEndOfRoleBefore(graph: TaskGraph, task: GraphTask, target: number): boolean {
  const before = graph.tasks[siblingBefore(graph, task)];
  const isInside = graph.common.tasks[task.index]?.within !== undefined;
  const isFirst = !isInside && (before?.role !== task.role || before?.play !== task.play);
  return isFirst && target < task.index;
}

function gateText(graph: TaskGraph, gate: Gate): string {
  switch (gate.kind) {
    case 'precheck':
      return 'all prechecks';
    case 'batch':
      return `batch ${gate.batch + 1} of ${graph.plays[gate.play]?.name ?? ''}`;
    case 'same':
      return `${titleOf(graph, gate.task)} by the controller`;
    case 'value':
      return `a value of ${titleOf(graph, gate.task)} from ${graph.nodes[gate.node] ?? ''}`;
    case 'all':
      return `${titleOf(graph, gate.task)} on all of its nodes`;
    case 'any':
      return `${titleOf(graph, gate.task)} on any of its nodes`;
    case 'first': {
      const first = graph.sets[graph.tasks[gate.task]?.set ?? -1]?.members[0];
      return `${titleOf(graph, gate.task)} on ${graph.nodes[first ?? -1] ?? 'its first node'}`;
    }
  }
}

function titleOf(graph: TaskGraph, task: number): string {
  return `"${graph.tasks[task]?.name ?? ''}"`;
}
