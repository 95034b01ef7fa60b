import { isBlock } from '../../shared/blocks.ts';
import type { Gate, TaskGraph } from '../compile/graph.ts';
import type { RunEvent } from '../run/events.ts';
import type { PathStep, RunTimes } from './types.ts';

/** A step as far as it has ended: how long the chain is that leads through it, and what came before it on that chain. */
interface Link {
  task: number;
  node: number;
  ms: number;
  chainMs: number;
  before: Link | undefined;
}

/** What the path calls the time until a node had an agent. */
const JOINING = 'the agent is put there';
/** Stands for it where a task's index would. */
const NO_TASK = -1;

type Ended = Extract<RunEvent, { kind: 'ended' }>;

/**
 * Where the time of a run went: when each play was at work, and the longest chain of steps that had to follow each other, with
 * the times that the agents measured. What the run took beyond that chain is the engine's own (waiting for each other's
 * messages, for slots and locks). `events`: those of one revision, from its beginning to its end, else undefined. Begin and
 * end of a play are by the nodes' clocks.
 */
export function runTimes(graph: TaskGraph, events: readonly RunEvent[]): RunTimes | undefined {
  const began = events.find(({ kind }) => kind === 'started' || kind === 'revised')?.at;
  const ended = events.findLast(({ kind }) => kind === 'finished')?.at;
  if (began === undefined || ended === undefined || ended <= began) return undefined;
  const path = pathTo(longest(graph, events, began)).map((link) => pathStep(graph, link));
  const pathMs = path.reduce((sum, { ms }) => sum + ms, 0);
  const makespanMs = ended - began;
  // Of clocks that do not agree the chain may come out longer than the run.
  const overhead = Math.max(0, makespanMs - pathMs) / makespanMs;
  return { makespanMs, pathMs, overhead, plays: playTimes(graph, events, began), path };
}

function pathStep(graph: TaskGraph, { task, node, ms }: Link): PathStep {
  return { node: graph.nodes[node] ?? '', task: graph.tasks[task]?.key ?? JOINING, ms };
}

function playTimes(graph: TaskGraph, events: readonly RunEvent[], began: number): RunTimes['plays'] {
  const times = new Map<number, { fromMs: number; untilMs: number }>();
  for (const event of events) {
    if ((event.kind !== 'begun' && event.kind !== 'ended') || isBlock(graph.tasks[event.task])) continue;
    if (event.kind === 'ended' && (event.outcome === 'skipped' || event.result.kept)) continue;
    const play = graph.tasks[event.task]?.play ?? -1;
    const at = Math.max(0, event.at - began);
    const known = times.get(play) ?? { fromMs: at, untilMs: at };
    times.set(play, { fromMs: Math.min(known.fromMs, at), untilMs: Math.max(known.untilMs, at) });
  }
  return graph.plays.flatMap(({ index, name }) => {
    const time = times.get(index);
    return time ? [{ play: name, ...time }] : [];
  });
}

function pathTo(end: Link | undefined): Link[] {
  const path: Link[] = [];
  for (let link = end; link; link = link.before) if (link.ms > 0) path.unshift(link);
  return path;
}

/** Events are stored in the order of cause and effect, so whatever a step waited for has a link when its own end comes. */
function longest(graph: TaskGraph, events: readonly RunEvent[], began: number): Link | undefined {
  const links = new Links(graph);
  const bootstrapped = new Set<number>();
  let end: Link | undefined;
  for (const event of events) {
    if (event.kind === 'bootstrap') bootstrapped.add(event.node);
    else if (event.kind === 'accepted' && bootstrapped.has(event.node)) {
      links.joined(event.node, Math.max(0, event.at - began));
    } else if (event.kind === 'permit_granted') links.granted(event.task, event.node);
    else if (event.kind === 'ended') {
      const link = links.add(event);
      if (link.chainMs > (end?.chainMs ?? -1)) end = link;
    }
  }
  return end;
}

class Links {
  private readonly graph: TaskGraph;
  private readonly gates: ReadonlyMap<string, Gate>;
  private readonly steps = new Map<string, Link>();
  /** Of each task, the end of the longest chain among its steps. */
  private readonly latest = new Map<number, Link>();
  private readonly latestOfPlay = new Map<number, Link>();
  /** The same of the batches of plays that have some, by `play/batch`. */
  private readonly latestOfBatch = new Map<string, Link>();
  /** By name of a permit: who had it last; by step: who had it before. */
  private readonly holders = new Map<string, Link>();
  private readonly waited = new Map<string, Link>();
  private readonly joins = new Map<number, Link>();

  constructor(graph: TaskGraph) {
    this.graph = graph;
    this.gates = new Map(graph.gates.map((gate) => [gate.id, gate]));
  }

  joined(node: number, ms: number): void {
    this.joins.set(node, { task: NO_TASK, node, ms, chainMs: ms, before: undefined });
  }

  granted(task: number, node: number): void {
    const holder = this.holders.get(this.graph.tasks[task]?.permit?.name ?? '');
    if (holder) this.waited.set(`${task}@${node}`, holder);
  }

  add({ task, node, durationMs, result }: Ended): Link {
    const isWork = !isBlock(this.graph.tasks[task]) && !result.kept;
    const ms = isWork ? durationMs : 0;
    const before = this.before(task, node);
    const link = { task, node, ms, chainMs: (before?.chainMs ?? 0) + ms, before };
    this.steps.set(`${task}@${node}`, link);
    keepLonger(this.latest, task, link);
    const { play = -1, permit } = this.graph.tasks[task] ?? {};
    keepLonger(this.latestOfPlay, play, link);
    keepLonger(this.latestOfBatch, `${play}/${this.batchOf(play, node)}`, link);
    if (permit) this.holders.set(permit.name, link);
    return link;
  }

  /** The end of the longest chain that the step had to wait for. */
  private before(task: number, node: number): Link | undefined {
    const { play = -1 } = this.graph.tasks[task] ?? {};
    const found = [this.joins.get(node), this.latestOfBatch.get(`${play}/${this.batchOf(play, node) - 1}`)];
    for (const { task: other, of } of this.graph.tasks[task]?.edges ?? []) {
      if (of === 'same') found.push(this.steps.get(`${other}@${node}`));
      else if (of !== 'value') found.push(this.latest.get(other));
    }
    const spec = this.graph.common.tasks[task];
    for (const need of spec?.needs ?? []) if ('gate' in need) found.push(this.behind(this.gates.get(need.gate)));
    // What is in a block waited for the permit of the block.
    for (let at: number | undefined = task; at !== undefined; at = this.graph.common.tasks[at]?.within?.block) {
      found.push(this.waited.get(`${at}@${node}`));
    }
    return found.reduce((a, b) => ((b?.chainMs ?? -1) > (a?.chainMs ?? -1) ? b : a), undefined);
  }

  private batchOf(play: number, node: number): number {
    return this.graph.plays[play]?.batchOf?.[node] ?? 0;
  }

  /** The latest of what opened a gate that is no edge between two tasks. */
  private behind(gate: Gate | undefined): Link | undefined {
    switch (gate?.kind) {
      case 'value':
        return this.steps.get(`${gate.task}@${gate.node}`);
      case 'precheck':
        return this.graph.plays
          .filter(({ precheck }) => precheck)
          .map(({ index }) => this.latestOfPlay.get(index))
          .reduce((a, b) => ((b?.chainMs ?? -1) > (a?.chainMs ?? -1) ? b : a), undefined);
      default:
        return undefined;
    }
  }
}

function keepLonger<K>(of: Map<K, Link>, key: K, link: Link): void {
  if (link.chainMs >= (of.get(key)?.chainMs ?? 0)) of.set(key, link);
}
