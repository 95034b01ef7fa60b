import { KkError } from '../../shared/errors.ts';
import { runHasEnded } from '../../shared/lifecycle.ts';
import type { TaskGraph } from '../compile/graph.ts';
import { graphFromJson } from '../compile/serialise.ts';
import type { RunEvent } from '../run/events.ts';
import type { RunRecord } from '../run/ports.ts';
import { replay } from '../run/revise.ts';
import { runUnknown } from '../run/run-errors.ts';
import type { Runner } from '../run/runner.ts';
import { newRunState, type RunState, statusOf } from '../run/state.ts';
import type { FollowWish } from '../server/operations.ts';
import type { RunArchive } from '../store/event-log.ts';
import type { LogLine, RunLogs } from '../store/run-logs.ts';
import { runView } from '../views/run-view.ts';
import { streamLines } from '../views/stream-lines.ts';
import { iso } from '../views/times.ts';
import type { RunView, StreamLine } from '../views/types.ts';
import type { Hub, News } from './hub.ts';

/** A run as the store has it: what there was to do, and what happened. */
export interface StoredRun {
  record: RunRecord;
  graph: TaskGraph;
  events: RunEvent[];
  state: RunState;
}

/** Reads runs, ended and active, and follows them. */
export class Runs {
  private readonly archive: RunArchive;
  private readonly runner: Runner;
  private readonly hub: Hub;
  private readonly logs: RunLogs;
  private readonly nowMs: () => number;
  private readonly isConnected: (node: string) => boolean;

  constructor(parts: {
    archive: RunArchive;
    runner: Runner;
    hub: Hub;
    logs: RunLogs;
    nowMs: () => number;
    isConnected: (node: string) => boolean;
  }) {
    this.isConnected = parts.isConnected;
    this.archive = parts.archive;
    this.runner = parts.runner;
    this.hub = parts.hub;
    this.logs = parts.logs;
    this.nowMs = parts.nowMs;
  }

  /** The id that `last`, an id, or a unique beginning of one or of its last part, stands for. Throws KkError RUN_UNKNOWN, RUN_AMBIGUOUS. */
  async idOf(text: string, kind?: RunRecord['kind']): Promise<string> {
    const ids = text === 'last' ? await this.last(kind) : await this.archive.idsLike(text);
    const exact = ids.find((id) => id === text);
    if (exact !== undefined) return exact;
    const [only, second] = ids;
    if (only !== undefined && second === undefined) return only;
    if (only === undefined) throw runUnknown(text);
    throw new KkError({
      code: 'RUN_AMBIGUOUS',
      message: `Several runs begin with "${text}": ${ids.join(', ')}.`,
      remedy: 'Give more of the id.',
    });
  }

  /** The newest run, of that kind if one is asked for: a dry run or an exec in between is not what a person means to take up. */
  private async last(kind: RunRecord['kind'] | undefined): Promise<string[]> {
    const found = (await this.archive.list(kind === undefined ? 1 : 1000)).find(
      (run) => run.kind === (kind ?? run.kind),
    );
    return found ? [found.id] : [];
  }

  async read(id: string): Promise<StoredRun> {
    const found = await this.archive.find(id);
    if (!found) throw runUnknown(id);
    const graph = graphFromJson(found.graphJson);
    const events = await this.archive.events(id);
    const state = replay(graph, events);
    return { record: { ...found.record, status: statusOf(state) }, graph, events, state };
  }

  async view(text: string): Promise<RunView> {
    return this.viewOf(await this.read(await this.idOf(text)));
  }

  /** From the first event on: what is stored, then (if `live`) what comes, until the run has ended. */
  async *follow(text: string, options: FollowWish, signal: AbortSignal): AsyncGenerator<StreamLine> {
    const id = await this.idOf(text);
    const news = this.hub.listen(id, signal);
    await news.next();
    try {
      yield* this.followFrom(id, news, options);
    } finally {
      // Also when the reader goes away in the middle: a listener left behind would keep the controller busy for ever.
      await news.return(undefined);
    }
  }

  private async *followFrom(id: string, news: AsyncGenerator<News>, options: FollowWish): AsyncGenerator<StreamLine> {
    const stored = await this.read(id);
    const chapters = await this.chapters(stored);
    for (const chapter of chapters) {
      if (chapter.record.revision < (options.revision ?? 1)) continue;
      yield { type: 'run', run: this.viewOf({ ...chapter, events: chapter.events.slice(0, 1) }) };
      for (const event of chapter.events) yield* streamLines(chapter.graph, event);
    }
    const graphs = new Map(chapters.map(({ record, graph }) => [record.revision, graph]));
    const logLine = (line: LogLine): StreamLine => logLineOf(graphs.get(line.revision ?? 1) ?? stored.graph, line);
    if (options.logs) for await (const line of this.logs.read(id, nodesOf(chapters))) yield logLine(line);
    let { graph } = stored;
    let ended = runHasEnded(stored.state.status);
    if (!ended && options.live) {
      for await (const item of news) {
        if (item.kind === 'log') {
          if (options.logs) yield logLine(item.line);
          continue;
        }
        if (item.kind === 'progress') {
          const { at, node, task, text } = item;
          yield { type: 'progress', at: iso(at), node, task, text };
          continue;
        }
        for (const [i, event] of item.events.entries()) {
          if (item.sequence + i <= stored.events.length) continue;
          if (event.kind === 'revised') {
            graph = await this.graphOf(id, event.revision);
            graphs.set(event.revision, graph);
            const record = { ...stored.record, revision: event.revision };
            yield { type: 'run', run: this.viewOf({ record, graph, events: [event], state: newRunState(graph) }) };
          }
          yield* streamLines(graph, event);
          ended = event.kind === 'finished' || (ended && event.kind !== 'revised');
        }
        if (ended) break;
      }
    }
    if (ended) yield { type: 'finished', run: await this.view(id) };
  }

  /** A run as its revisions, the last of them as it is now. */
  private async chapters(run: StoredRun): Promise<StoredRun[]> {
    const begins = run.events.flatMap((event, at) => (event.kind === 'revised' ? [at] : []));
    if (begins.length === 0) return [run];
    const graphs = (await this.archive.graphs(run.record.id)).map(({ revision, graphJson }) => ({
      revision,
      graph: graphFromJson(graphJson),
    }));
    return [0, ...begins].map((from, at) => {
      const events = run.events.slice(from, begins[at]);
      const revision = events[0]?.kind === 'revised' ? events[0].revision : 1;
      const graph = graphs.findLast((known) => known.revision <= revision)?.graph ?? run.graph;
      const state = at === begins.length ? run.state : replay(graph, events);
      return { record: { ...run.record, revision }, graph, events, state };
    });
  }

  private async graphOf(id: string, revision: number): Promise<TaskGraph> {
    const found = (await this.archive.graphs(id)).findLast((known) => known.revision <= revision);
    if (!found) throw runUnknown(id);
    return graphFromJson(found.graphJson);
  }

  private viewOf(run: StoredRun): RunView {
    const active = this.runner.active.get(run.record.id);
    const waitingFor = active && active.state.status === 'queued' ? this.runner.blockersOf(active) : [];
    return runView(run.record, run.graph, run.state, {
      events: run.events,
      nowMs: this.nowMs(),
      waitingFor,
      away: (node) => !this.isConnected(node),
    });
  }
}

function nodesOf(chapters: readonly StoredRun[]): string[] {
  return [...new Set(chapters.flatMap(({ graph }) => graph.nodes))];
}

function logLineOf(graph: TaskGraph, line: LogLine): StreamLine {
  return {
    type: 'log',
    at: iso(line.at),
    node: line.node,
    task: graph.tasks[line.task]?.key ?? '',
    stream: line.stream,
    offset: line.offset,
    text: line.text,
  };
}
