import { KkError } from '../../shared/errors.ts';
import { runHasEnded } from '../../shared/lifecycle.ts';
import { jsonBytes } from '../../shared/protocol/codec.ts';
import type { DurableMessage, ForAgent, Hello } from '../../shared/protocol/messages.ts';
import type { TaskGraph } from '../compile/graph.ts';
import { graphFromJson, graphToJson } from '../compile/serialise.ts';
import { applyEvent } from './apply-event.ts';
import { type Decision, decide, decideEnd, decideFor, permitsToGrant, wishPermit } from './decide.ts';
import type { RunEvent } from './events.ts';
import { toRunEvent } from './inbox.ts';
import type { AppendBatch, Clock, Dispatcher, EventLog, RunRecord } from './ports.ts';
import { type PushDocuments, pushDocuments } from './push.ts';
import { newRunState, type RunState } from './state.ts';

/** Share revision: raised by a resume, which is not there yet. */
const REVISION = 1;
/** TERM to KILL of a cancelled command (ENGINE 2.6). */
const CANCEL_GRACE_MS = 10_000;

export interface RunnerOptions {
  leaseMs: number;
  /** After the lease, before a node is given up. */
  leaseMarginMs: number;
  /** For a node to which nothing was sent (ENGINE 2.6). */
  connectTimeoutMs: number;
  /** How long `exec` waits for a node that is away: a person sits in front of it. */
  execTimeoutMs: number;
}

export interface ActiveRun {
  record: RunRecord;
  graph: TaskGraph;
  state: RunState;
  documents: PushDocuments;
  /** Events stored so far. */
  sequence: number;
  /** Monotonic: when this controller began to care for it. */
  sinceMs: number;
  /** The end is decided and on its way into the store. */
  ending: boolean;
}

/** What those who watch are told, after it is stored. */
export interface RunWatcher {
  events(run: ActiveRun, events: readonly RunEvent[]): void;
}

type Work =
  | {
      kind: 'agent';
      node: string;
      journal: string;
      sequence: number;
      message: DurableMessage;
      refuse: (error: unknown) => void;
    }
  | { kind: 'event'; run: string; event: RunEvent };

/**
 * The loop: store what happened, apply it, decide what follows, tell the agents; one batch at a time. The only part of
 * `run` with state and timers; the deciding is in apply-event and decide.
 */
export class Runner {
  readonly active = new Map<string, ActiveRun>();
  private readonly log: EventLog;
  private readonly dispatcher: Dispatcher;
  private readonly clock: Clock;
  private readonly watcher: RunWatcher;
  private readonly options: RunnerOptions;
  private queue: Work[] = [];
  private draining: Promise<void> | undefined;
  private failed: unknown;

  constructor(parts: {
    log: EventLog;
    dispatcher: Dispatcher;
    clock: Clock;
    watcher: RunWatcher;
    options: RunnerOptions;
  }) {
    this.log = parts.log;
    this.dispatcher = parts.dispatcher;
    this.clock = parts.clock;
    this.watcher = parts.watcher;
    this.options = parts.options;
  }

  /** Rebuilds every run that had not ended, by the same apply-event that made it. */
  async recover(): Promise<void> {
    for (const { record, graphJson } of await this.log.activeRuns()) {
      const events = await this.log.events(record.id);
      const run = this.adopt(record, graphFromJson(graphJson));
      for (const event of events) applyEvent(run.state, event);
      run.sequence = events.length;
      run.record.status = run.state.status;
    }
    for (const run of this.active.values()) this.follow(run);
    this.startQueued();
    await this.idle();
  }

  /** Stores a new run and starts it, or queues it behind a run that holds one of its nodes (ENGINE 2.10). */
  async create(
    graph: TaskGraph,
    record: Omit<RunRecord, 'status' | 'createdMs' | 'endedMs' | 'kind' | 'name'>,
  ): Promise<ActiveRun> {
    const full: RunRecord = {
      ...record,
      name: graph.name,
      kind: graph.kind,
      status: 'queued',
      createdMs: this.clock.nowMs(),
      endedMs: undefined,
    };
    await this.log.createRun(full, graphToJson(graph));
    const run = this.adopt(full, graph);
    this.startQueued();
    await this.idle();
    return run;
  }

  /** The runs that hold a node this one wants; empty: it can start. */
  blockersOf(run: ActiveRun): ActiveRun[] {
    if (run.record.kind === 'exec') return [];
    const wanted = new Set(run.graph.nodes.filter((_, node) => (run.state.pending[node] ?? 0) > 0));
    return [...this.active.values()].filter(
      (other) =>
        other !== run &&
        other.record.kind === 'plan' &&
        (other.state.status === 'running' || other.record.createdMs < run.record.createdMs) &&
        other.graph.nodes.some((name) => wanted.has(name)),
    );
  }

  /** A durable message of an agent; acknowledged when it is stored. `refuse` is called when it makes no sense. */
  receive(
    node: string,
    journal: string,
    sequence: number,
    message: DurableMessage,
    refuse: (error: unknown) => void,
  ): void {
    this.enqueue({ kind: 'agent', node, journal, sequence, message, refuse });
  }

  /** Something the controller itself found: a node given up, a cancel. */
  record(run: string, event: RunEvent): void {
    this.enqueue({ kind: 'event', run, event });
  }

  permitWanted(node: string, runId: string, task: number): void {
    const run = this.active.get(runId);
    const index = run?.graph.nodes.indexOf(node) ?? -1;
    if (!run || index < 0 || !run.graph.tasks[task]) return;
    if (wishPermit(run.state, task, index) === 'granted') this.tell(run, [index], { kind: 'permit', task });
    this.follow(run);
  }

  /** An agent has said Hello: it is told whatever it does not hold yet. */
  connected(node: string, hello: Hello): void {
    for (const run of this.active.values()) {
      const index = run.graph.nodes.indexOf(node);
      if (index < 0 || run.state.status !== 'running' || run.state.nodes[index] === 'given_up') continue;
      const held = hello.runs.find((held) => held.run === run.record.id);
      const decisions = decideFor(
        run.state,
        index,
        held && { gates: new Set(held.gates), permits: new Set(held.permits) },
      );
      for (const decision of decisions) this.tell(run, [index], decision, hello.blobs);
    }
    for (const held of hello.runs)
      if (!this.active.has(held.run)) this.dispatcher.send([node], { kind: 'forget', value: { run: held.run } });
  }

  cancel(runId: string, by: string): void {
    const run = this.active.get(runId);
    if (!run)
      throw new KkError({
        code: 'RUN_NOT_ACTIVE',
        message: `Run ${runId} is not at work.`,
        remedy: 'See `kk-controller runs` for the runs there are.',
      });
    this.record(runId, { kind: 'cancel', at: this.clock.nowMs(), by });
  }

  /** The document a node asks for, if one of its own shares names it (ENGINE 4.9). */
  blob(node: string, sha256: string): Uint8Array | undefined {
    for (const run of this.active.values()) {
      const index = run.graph.nodes.indexOf(node);
      const found = index < 0 ? undefined : run.documents.blob(index, sha256);
      if (found) return found;
    }
    return undefined;
  }

  /** Gives up nodes that were silent too long. Called about once a second. */
  tick(): void {
    const now = this.clock.monotonicMs();
    for (const run of this.active.values()) {
      if (run.state.status !== 'running') continue;
      run.graph.nodes.forEach((name, node) => {
        if ((run.state.pending[node] ?? 0) === 0 || this.dispatcher.isConnected(name)) return;
        const reached = run.state.nodes[node] === 'accepted';
        const silent = Math.min(this.dispatcher.silentFor(name) ?? Number.POSITIVE_INFINITY, now - run.sinceMs);
        const limit = this.patienceFor(run, reached);
        if (silent < limit) return;
        this.record(run.record.id, {
          kind: 'given_up',
          at: this.clock.nowMs(),
          node,
          error: silentError(name, limit, reached),
        });
      });
    }
  }

  private patienceFor(run: ActiveRun, reached: boolean): number {
    if (run.graph.kind === 'exec') return this.options.execTimeoutMs;
    return reached ? this.options.leaseMs + this.options.leaseMarginMs : this.options.connectTimeoutMs;
  }

  /** Resolves when everything that was queued is stored and applied. */
  async idle(): Promise<void> {
    while (this.draining) await this.draining;
    if (this.failed !== undefined) throw this.failed;
  }

  private adopt(record: RunRecord, graph: TaskGraph): ActiveRun {
    const run: ActiveRun = {
      record,
      graph,
      state: newRunState(graph),
      documents: pushDocuments(graph),
      sequence: 0,
      sinceMs: this.clock.monotonicMs(),
      ending: false,
    };
    this.active.set(record.id, run);
    return run;
  }

  private startQueued(): void {
    for (const run of this.active.values()) {
      if (run.state.status === 'queued' && this.blockersOf(run).length === 0) {
        this.record(run.record.id, { kind: 'started', at: this.clock.nowMs() });
      }
    }
  }

  private enqueue(work: Work): void {
    this.queue.push(work);
    this.draining ??= Promise.resolve()
      .then(() => this.drain())
      .catch((thrown: unknown) => {
        this.failed = thrown;
      })
      .finally(() => {
        this.draining = undefined;
      });
  }

  private async drain(): Promise<void> {
    while (this.queue.length > 0) {
      const batch = this.take();
      await this.log.append(batch.append);
      for (const { run, events } of batch.byRun.values()) this.commit(run, events);
      for (const cursor of batch.append.cursors) this.dispatcher.ack(cursor.node, cursor.sequence);
    }
  }

  /** Everything queued as one transaction: events by run, and how far each journal is stored with them. */
  private take(): { append: AppendBatch; byRun: Map<string, { run: ActiveRun; events: RunEvent[] }> } {
    const byRun = new Map<string, { run: ActiveRun; events: RunEvent[] }>();
    const cursors = new Map<string, AppendBatch['cursors'][number]>();
    for (const work of this.queue) {
      const run = this.active.get(work.kind === 'agent' ? work.message.value.run : work.run);
      try {
        // What belongs to a run that is gone (forgotten, finished) is acknowledged and dropped.
        if (run) {
          const event =
            work.kind === 'agent' ? toRunEvent(run.graph, work.node, work.message, this.clock.nowMs()) : work.event;
          const entry = byRun.get(run.record.id) ?? { run, events: [] };
          entry.events.push(event);
          byRun.set(run.record.id, entry);
        }
        if (work.kind === 'agent')
          cursors.set(work.node, { node: work.node, journal: work.journal, sequence: work.sequence });
      } catch (thrown) {
        if (work.kind === 'agent') work.refuse(thrown);
        else throw thrown;
      }
    }
    this.queue = [];
    const runs = [...byRun].map(([run, entry]) => ({
      run,
      firstSequence: entry.run.sequence + 1,
      events: entry.events,
    }));
    return { append: { runs, cursors: [...cursors.values()] }, byRun };
  }

  private commit(run: ActiveRun, events: readonly RunEvent[]): void {
    run.sequence += events.length;
    let started = false;
    for (const event of events) {
      applyEvent(run.state, event);
      started ||= event.kind === 'started';
    }
    run.record.status = run.state.status;
    this.watcher.events(run, events);
    for (const event of events)
      if (event.kind === 'permit_granted') this.tell(run, [event.node], { kind: 'permit', task: event.task });
    if (started) this.begin(run);
    this.follow(run);
    if (runHasEnded(run.state.status)) this.finish(run);
  }

  /** First push to everybody who is connected already. */
  private begin(run: ActiveRun): void {
    run.sinceMs = this.clock.monotonicMs();
    run.graph.nodes.forEach((name, node) => {
      if (!this.dispatcher.isConnected(name)) return;
      for (const decision of decideFor(run.state, node, undefined)) {
        if (decision.kind === 'push') this.tell(run, [node], decision);
      }
    });
  }

  /** Tells what follows from the state now; stores what must be remembered first. */
  private follow(run: ActiveRun): void {
    if (run.state.status !== 'running') return;
    for (const { nodes, decision } of decide(run.state)) this.tell(run, nodes, decision);
    for (const { task, node } of permitsToGrant(run.state)) {
      this.record(run.record.id, { kind: 'permit_granted', at: this.clock.nowMs(), node, task });
    }
    const end = run.ending ? undefined : decideEnd(run.state);
    if (!end) return;
    run.ending = true;
    this.record(run.record.id, { kind: 'finished', at: this.clock.nowMs(), status: end });
  }

  private finish(run: ActiveRun): void {
    run.record.endedMs = this.clock.nowMs();
    this.active.delete(run.record.id);
    this.dispatcher.send(run.graph.nodes, { kind: 'forget', value: { run: run.record.id } });
    this.startQueued();
  }

  private tell(run: ActiveRun, nodes: readonly number[], decision: Decision, cached: readonly string[] = []): void {
    const names = nodes.map((node) => run.graph.nodes[node] ?? '');
    if (decision.kind === 'push') {
      nodes.forEach((node, i) => {
        this.dispatcher.send([names[i] ?? ''], {
          kind: 'push',
          value: run.documents.push(run.record.id, REVISION, node, cached),
        });
      });
      return;
    }
    this.dispatcher.send(names, messageOf(run.record.id, decision));
  }
}

function messageOf(run: string, decision: Exclude<Decision, { kind: 'push' }>): ForAgent {
  const head = { run, revision: REVISION };
  switch (decision.kind) {
    case 'open':
      return {
        kind: 'open_gate',
        value: {
          ...head,
          gate: decision.gate,
          values: decision.values === undefined ? new Uint8Array() : jsonBytes(decision.values),
        },
      };
    case 'close':
      return { kind: 'close_gate', value: { ...head, gate: decision.gate, cause: decision.cause } };
    case 'permit':
      return { kind: 'permit', value: { ...head, task: decision.task } };
    case 'cancel':
      return { kind: 'cancel', value: { run, grace_ms: CANCEL_GRACE_MS } };
  }
}

function silentError(
  node: string,
  limitMs: number,
  reached: boolean,
): { code: string; message: string; remedy: string; node: string } {
  const seconds = Math.round(limitMs / 1000);
  return reached
    ? {
        code: 'NODE_LOST',
        message: `${node} was not heard of for ${seconds} s, longer than its lease.`,
        remedy: `Look at the machine and its network (journalctl -u kk-agent on ${node}), then apply the plan again: what is done stays done.`,
        node,
      }
    : {
        code: 'NODE_NOT_CONNECTED',
        message: `${node} did not connect within ${seconds} s.`,
        remedy: `Run the line of \`kk-controller join-command --name ${node}\` on it, or give it \`ssh:\` settings in the inventory, then apply again.`,
        node,
      };
}
