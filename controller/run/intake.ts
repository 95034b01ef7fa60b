import { crash } from '../../shared/crash.ts';
import type { DurableMessage } from '../../shared/protocol/messages.ts';
import type { ActiveRun } from './active-run.ts';
import type { RunEvent } from './events.ts';
import { toRunEvent } from './inbox.ts';
import type { AppendBatch, Clock, EventLog, NodeFacts } from './ports.ts';

/** A durable message of an agent. `refuse` closes its connection and says why. */
export interface FromNode {
  kind: 'agent';
  node: string;
  journal: string;
  sequence: number;
  message: DurableMessage;
  refuse: (error: unknown) => void;
}

type Work =
  | FromNode
  /** `revision`: the one that it is about; `graphJson`: with `revised`, when the graph is another one. */
  | { kind: 'event'; run: string; event: RunEvent; revision: number; graphJson?: string }
  /** The node's journal is another one, or was set back: sequences above this are new, also when they were used before. */
  | { kind: 'rewind'; node: string; journal: string; sequence: number }
  | { kind: 'mark'; reached: (error?: unknown) => void };

export interface IntakeParts {
  log: EventLog;
  clock: Clock;
  runOf(id: string): ActiveRun | undefined;
  /** Called for each run when its events are stored. */
  stored(run: ActiveRun, events: readonly RunEvent[]): void;
  ack(node: string, journal: string, sequence: number): void;
  /** The store cannot be written (once), or, with undefined, can be again. */
  trouble(error: unknown): void;
}

interface Batch {
  append: AppendBatch;
  byRun: { run: ActiveRun; events: RunEvent[] }[];
  acks: AppendBatch['cursors'];
}

/** What a batch has of one run. */
interface RunEntry {
  run: ActiveRun;
  /** After the events. */
  revision: number;
  events: RunEvent[];
  graphs: { revision: number; graphJson: string }[];
  facts: NodeFacts[];
}

function isOfEveryRevision({ kind }: RunEvent): boolean {
  return kind === 'cancel' || kind === 'paused' || kind === 'unpaused';
}

/** Facts have no revision: they are of the node, which may have no part in a later one. */
function isPresent({ value }: DurableMessage, revision: number, node: number | undefined): boolean {
  return 'revision' in value ? value.revision === revision : node !== undefined || revision === 1;
}

/**
 * What happened, on its way into the store: everything that waits goes as one transaction, is applied when it is durable,
 * and only then acknowledged.
 *
 * When the store cannot be written nothing is lost: agents are sent away with the reason and keep their journals, what the
 * controller itself found is kept here, and {@link retry} goes on when there is room again.
 */
export class Intake {
  private readonly parts: IntakeParts;
  private readonly cursors = new Map<string, { journal: string; sequence: number }>();
  private queue: Work[] = [];
  private busy = false;
  private error: unknown;

  constructor(parts: IntakeParts) {
    this.parts = parts;
  }

  /** The store could not be written, and it is not being tried again just now. */
  get stalled(): boolean {
    return this.error !== undefined && !this.busy;
  }

  add(work: Work): void {
    if (this.stalled && work.kind === 'agent') work.refuse(this.error);
    else if (this.stalled && work.kind === 'mark') work.reached(this.error);
    else this.queue.push(work);
    if (!this.stalled) void this.drain();
  }

  /** Resolves when everything added before is stored and applied. Throws what keeps it from being stored. */
  flush(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.add({ kind: 'mark', reached: (error) => (error === undefined ? resolve() : reject(error)) });
    });
  }

  /**
   * Does `work`, and nothing else meanwhile, when everything added before is stored and applied. What it adds comes before
   * what has been added since. Throws what keeps that from being stored.
   */
  turn<T>(work: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      const reached = (error?: unknown): void => {
        if (error !== undefined) {
          reject(error);
          return;
        }
        const later = this.queue;
        this.queue = [];
        try {
          resolve(work());
        } catch (thrown) {
          reject(thrown);
        } finally {
          this.queue.push(...later);
        }
      };
      this.add({ kind: 'mark', reached });
    });
  }

  /** As {@link flush}, and nothing else has come meanwhile. */
  async idle(): Promise<void> {
    do await this.flush();
    while (this.busy || this.queue.length > 0);
  }

  /** Tries again to store what could not be stored. */
  async retry(): Promise<void> {
    if (!this.stalled) return;
    this.queue.push({ kind: 'mark', reached: () => {} });
    await this.drain();
  }

  private async drain(): Promise<void> {
    if (this.busy) return;
    this.busy = true;
    // What arrives in the same turn goes together.
    await Promise.resolve();
    while (this.queue.length > 0) {
      const taken = this.queue;
      this.queue = [];
      const batch = this.batchOf(taken);
      try {
        await this.parts.log.append(batch.append);
      } catch (thrown) {
        this.stall(taken, thrown);
        break;
      }
      if (this.error !== undefined) this.parts.trouble(undefined);
      this.error = undefined;
      crash.at('controller.events.stored');
      this.commit(batch);
      for (const work of taken) if (work.kind === 'mark') work.reached();
    }
    this.busy = false;
  }

  private batchOf(taken: readonly Work[]): Batch {
    const byRun = new Map<string, RunEntry>();
    const cursors = new Map<string, AppendBatch['cursors'][number]>();
    const repeated: AppendBatch['cursors'] = [];
    const refused = new Set<string>();
    const entryOf = (run: ActiveRun): RunEntry => {
      const entry = byRun.get(run.record.id) ?? {
        run,
        revision: run.record.revision,
        events: [],
        graphs: [],
        facts: [],
      };
      byRun.set(run.record.id, entry);
      return entry;
    };
    for (const work of taken) {
      if (work.kind === 'mark') continue;
      if (work.kind === 'rewind') {
        const { node, journal, sequence } = work;
        cursors.set(node, { node, journal, sequence });
        continue;
      }
      if (work.kind === 'event') {
        const run = this.parts.runOf(work.run);
        const entry = run && entryOf(run);
        // What was found of an earlier revision has no place in the next one; its nodes and tasks may be others.
        if (!entry || (work.revision < entry.revision && !isOfEveryRevision(work.event))) continue;
        entry.events.push(work.event);
        if (work.event.kind === 'revised') {
          const { revision } = work.event;
          entry.revision = revision;
          if (work.graphJson !== undefined) entry.graphs.push({ revision, graphJson: work.graphJson });
        }
        continue;
      }
      // After a message that makes no sense nothing of that node is taken: it would be acknowledged with what follows.
      if (refused.has(work.node)) continue;
      const cursor = cursors.get(work.node) ?? this.cursors.get(work.node);
      const { node, journal, sequence } = work;
      if (cursor?.journal === journal && sequence <= cursor.sequence) {
        repeated.push({ node, journal, sequence: cursor.sequence });
        continue;
      }
      try {
        // What belongs to a run that is gone (forgotten, finished), or to another revision, is acknowledged and dropped.
        const run = this.parts.runOf(work.message.value.run);
        const entry = run && entryOf(run);
        const index = run?.indexes.get(node);
        if (entry && isPresent(work.message, entry.revision, index)) {
          const event = toRunEvent(run.graph, index, work.message, this.parts.clock.nowMs());
          entry.events.push(event);
          if (event.kind === 'facts') entry.facts.push({ node, atMs: event.at, facts: event.facts });
        }
        cursors.set(node, { node, journal, sequence });
      } catch (thrown) {
        refused.add(node);
        work.refuse(thrown);
      }
    }
    const entries = [...byRun.values()].filter(({ events }) => events.length > 0);
    const runs = entries.map(({ run, events, graphs, facts }) => ({
      run: run.record.id,
      firstSequence: run.sequence + 1,
      events,
      ...(graphs.length > 0 ? { graphs } : {}),
      ...(facts.length > 0 ? { facts } : {}),
      ...(run.record.kind === 'plan' && events.some(({ kind }) => kind === 'started') ? { takes: [...run.nodes] } : {}),
    }));
    return {
      append: { runs, cursors: [...cursors.values()] },
      byRun: entries,
      acks: [...repeated, ...cursors.values()],
    };
  }

  private commit({ append, byRun, acks }: Batch): void {
    for (const { node, journal, sequence } of append.cursors) this.cursors.set(node, { journal, sequence });
    for (const { run, events } of byRun) {
      run.sequence += events.length;
      try {
        this.parts.stored(run, events);
      } catch (thrown) {
        // A defect in one run; the others go on, and the log has it all.
        this.parts.trouble(thrown);
      }
    }
    crash.at('controller.events.applied');
    for (const { node, journal, sequence } of acks) this.parts.ack(node, journal, sequence);
  }

  private stall(taken: readonly Work[], thrown: unknown): void {
    const first = this.error === undefined;
    this.error = thrown;
    const all = [...taken, ...this.queue];
    this.queue = all.filter((work) => work.kind === 'event');
    for (const work of all) {
      if (work.kind === 'agent') work.refuse(thrown);
      else if (work.kind === 'mark') work.reached(thrown);
    }
    if (first) this.parts.trouble(thrown);
  }
}
