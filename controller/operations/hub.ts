import type { ActiveRun } from '../run/active-run.ts';
import type { RunEvent } from '../run/events.ts';
import type { RunWatcher } from '../run/runner.ts';
import type { LogLine } from '../store/run-logs.ts';

/** News of one run for one reader. `sequence`: number of the first event within the run. */
export type News =
  | { kind: 'events'; sequence: number; events: readonly RunEvent[] }
  | { kind: 'log'; line: LogLine }
  | { kind: 'progress'; at: number; node: string; task: string; text: string };

/** Hands stored events and live output on to whoever follows a run. */
export class Hub implements RunWatcher {
  private readonly readers = new Map<string, Set<(news: News) => void>>();

  events(run: ActiveRun, events: readonly RunEvent[]): void {
    this.tell(run.record.id, { kind: 'events', sequence: run.sequence - events.length + 1, events });
  }

  log(run: string, line: LogLine): void {
    this.tell(run, { kind: 'log', line });
  }

  /** How far a step of the controller's own is: told to who watches, and kept nowhere. `task`: its key. */
  progress(run: string, at: number, { node, task }: { node: string; task: string }, text: string): void {
    this.tell(run, { kind: 'progress', at, node, task, text });
  }

  get busy(): boolean {
    return this.readers.size > 0;
  }

  /** News of the run from now on, as a queue that does not lose any; ends when `signal` aborts. */
  async *listen(run: string, signal: AbortSignal): AsyncGenerator<News> {
    const queue: News[] = [];
    let wake: () => void = () => {};
    const reader = (news: News): void => {
      queue.push(news);
      wake();
    };
    const onAbort = (): void => wake();
    signal.addEventListener('abort', onAbort);
    const readers = this.readers.get(run) ?? new Set();
    this.readers.set(run, readers.add(reader));
    try {
      // The first turn gives the caller a subscription before it reads the past.
      yield { kind: 'events', sequence: 0, events: [] };
      while (!signal.aborted) {
        const next = queue.shift();
        if (next) yield next;
        else await new Promise<void>((resolve) => (wake = resolve));
      }
    } finally {
      signal.removeEventListener('abort', onAbort);
      readers.delete(reader);
      if (readers.size === 0) this.readers.delete(run);
    }
  }

  private tell(run: string, news: News): void {
    for (const reader of this.readers.get(run) ?? []) reader(news);
  }
}
