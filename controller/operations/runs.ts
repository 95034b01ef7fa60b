import { KkError } from '../../shared/errors.ts';
import { runHasEnded } from '../../shared/lifecycle.ts';
import type { TaskGraph } from '../compile/graph.ts';
import { graphFromJson } from '../compile/serialise.ts';
import type { RunEvent } from '../run/events.ts';
import type { RunRecord } from '../run/ports.ts';
import { replay } from '../run/revise.ts';
import type { Runner } from '../run/runner.ts';
import { type RunState, statusOf } from '../run/state.ts';
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

  constructor(parts: { archive: RunArchive; runner: Runner; hub: Hub; logs: RunLogs; nowMs: () => number }) {
    this.archive = parts.archive;
    this.runner = parts.runner;
    this.hub = parts.hub;
    this.logs = parts.logs;
    this.nowMs = parts.nowMs;
  }

  /** The id that `last`, an id, or a unique beginning of one or of its last part, stands for. Throws KkError RUN_UNKNOWN, RUN_AMBIGUOUS. */
  async idOf(text: string): Promise<string> {
    const ids = text === 'last' ? (await this.archive.list(1)).map((r) => r.id) : await this.archive.idsLike(text);
    const exact = ids.find((id) => id === text);
    if (exact !== undefined) return exact;
    const [only, second] = ids;
    if (only !== undefined && second === undefined) return only;
    throw new KkError(
      only === undefined
        ? {
            code: 'RUN_UNKNOWN',
            message: `There is no run "${text}".`,
            remedy: 'See `kk-controller runs` for the runs there are.',
          }
        : {
            code: 'RUN_AMBIGUOUS',
            message: `Several runs begin with "${text}": ${ids.join(', ')}.`,
            remedy: 'Give more of the id.',
          },
    );
  }

  async read(id: string): Promise<StoredRun> {
    const found = await this.archive.find(id);
    if (!found)
      throw new KkError({
        code: 'RUN_UNKNOWN',
        message: `There is no run "${id}".`,
        remedy: 'See `kk-controller runs`.',
      });
    const graph = graphFromJson(found.graphJson);
    const events = await this.archive.events(id);
    const state = replay(graph, events);
    return { record: { ...found.record, status: statusOf(state) }, graph, events, state };
  }

  async view(text: string): Promise<RunView> {
    return this.viewOf(await this.read(await this.idOf(text)));
  }

  /** From the first event on: what is stored, then (if `live`) what comes, until the run has ended. */
  async *follow(
    text: string,
    options: { logs: boolean; live: boolean },
    signal: AbortSignal,
  ): AsyncGenerator<StreamLine> {
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

  private async *followFrom(
    id: string,
    news: AsyncGenerator<News>,
    options: { logs: boolean; live: boolean },
  ): AsyncGenerator<StreamLine> {
    const stored = await this.read(id);
    yield { type: 'run', run: this.viewOf({ ...stored, events: [] }) };
    for (const event of stored.events) yield* streamLines(stored.graph, event);
    if (options.logs)
      for await (const line of this.logs.read(id, stored.graph.nodes)) yield logLine(stored.graph, line);
    let ended = runHasEnded(stored.state.status);
    if (!ended && options.live) {
      for await (const item of news) {
        if (item.kind === 'log') {
          if (options.logs) yield logLine(stored.graph, item.line);
          continue;
        }
        for (const [i, event] of item.events.entries()) {
          if (item.sequence + i <= stored.events.length) continue;
          yield* streamLines(stored.graph, event);
          ended ||= event.kind === 'finished';
        }
        if (ended) break;
      }
    }
    if (ended) yield { type: 'finished', run: await this.view(id) };
  }

  private viewOf(run: StoredRun): RunView {
    const active = this.runner.active.get(run.record.id);
    const waitingFor =
      active && active.state.status === 'queued' ? this.runner.blockersOf(active).map((r) => r.record.id) : [];
    return runView(run.record, run.graph, run.state, { events: run.events, nowMs: this.nowMs(), waitingFor });
  }
}

function logLine(graph: TaskGraph, line: LogLine): StreamLine {
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
