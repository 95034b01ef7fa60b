import { KkError } from '../../shared/errors.ts';
import { runHasEnded } from '../../shared/lifecycle.ts';
import type { Hello } from '../../shared/protocol/messages.ts';
import type { TaskGraph } from '../compile/graph.ts';
import { graphFromJson, graphToJson } from '../compile/serialise.ts';
import { type ActiveRun, blockersOf, newActiveRun } from './active-run.ts';
import { applyEvent } from './apply-event.ts';
import { type Decision, decide, decideEnd, decideFor, permitsToGrant, wishPermit } from './decide.ts';
import type { RunEvent } from './events.ts';
import { type FromNode, Intake } from './intake.ts';
import type { Clock, Dispatcher, EventLog, RunRecord } from './ports.ts';
import { type Patience, tooSilent } from './silence.ts';
import { tell } from './tell.ts';

/** What those who watch are told, after it is stored. */
export interface RunWatcher {
  events(run: ActiveRun, events: readonly RunEvent[]): void;
}

export interface RunnerParts {
  log: EventLog;
  dispatcher: Dispatcher;
  clock: Clock;
  watcher: RunWatcher;
  options: Patience;
  /** The store cannot be written (once), or, with undefined, can be again. */
  trouble(error: unknown): void;
}

/**
 * The loop: store what happened, apply it, decide what follows, tell the agents; one batch at a time. The only part of
 * `run` with state and timers; the deciding is in apply-event and decide.
 */
export class Runner {
  /** In order of arrival. */
  readonly active = new Map<string, ActiveRun>();
  /** Nodes whose identity is in doubt, with the reason (ENGINE 4.4). */
  private readonly doubted = new Map<string, string>();
  private readonly parts: RunnerParts;
  private readonly intake: Intake;

  constructor(parts: RunnerParts) {
    this.parts = parts;
    this.intake = new Intake({
      log: parts.log,
      clock: parts.clock,
      runOf: (id) => this.active.get(id),
      stored: (run, events) => this.apply(run, events),
      ack: (node, journal, sequence) => parts.dispatcher.ack(node, journal, sequence),
      trouble: parts.trouble,
    });
  }

  /**
   * Rebuilds every run that had not ended, by the same apply-event that made it. Must be done before agents are listened
   * to: what they say of runs that are not known yet would be dropped.
   */
  async recover(): Promise<void> {
    for (const { record, graphJson } of await this.parts.log.activeRuns()) {
      const events = await this.parts.log.events(record.id);
      const run = this.adopt(record, graphFromJson(graphJson));
      for (const event of events) applyEvent(run.state, event);
      run.recovered = run.state.status === 'running';
      run.sequence = events.length;
      run.record.status = run.state.status;
    }
    for (const run of this.active.values()) this.follow(run);
    this.startQueued();
    await this.idle();
  }

  /** Stores a new run and starts it, or queues it behind a run that holds one of its nodes (ENGINE 2.10). */
  async create(graph: TaskGraph, { id, by }: Pick<RunRecord, 'id' | 'by'>): Promise<ActiveRun> {
    const { name, kind } = graph;
    const createdMs = this.parts.clock.nowMs();
    const record: RunRecord = { id, by, name, kind, status: 'queued', createdMs, endedMs: undefined };
    await this.parts.log.createRun(record, graphToJson(graph));
    const run = this.adopt(record, graph);
    this.startQueued();
    await this.flush();
    return run;
  }

  /** The runs that hold a node this one wants; empty: it can start. */
  blockersOf(run: ActiveRun): ActiveRun[] {
    return blockersOf(run, this.active.values());
  }

  /** A durable message of an agent; acknowledged when it is stored. `refuse` is called when it makes no sense. */
  receive(
    node: string,
    journal: string,
    sequence: number,
    message: FromNode['message'],
    refuse: FromNode['refuse'],
  ): void {
    this.intake.add({ kind: 'agent', node, journal, sequence, message, refuse });
  }

  /** Something the controller itself found: a node given up, a cancel. */
  record(run: string, event: RunEvent): void {
    this.intake.add({ kind: 'event', run, event });
  }

  permitWanted(node: string, runId: string, task: number): void {
    const run = this.active.get(runId);
    const index = run?.indexes.get(node);
    if (!run || index === undefined) return;
    if (wishPermit(run.state, task, index) === 'granted') this.tell(run, [index], { kind: 'permit', task });
    this.follow(run);
  }

  /** An agent has said Hello: it is told whatever it does not hold yet. */
  connected(node: string, hello: Hello): void {
    this.intake.arrived(node, hello.journal_id, hello.last_sequence);
    for (const run of this.active.values()) {
      const index = run.indexes.get(node);
      if (index === undefined || run.state.status !== 'running') continue;
      const holds = hello.runs.find((held) => held.run === run.record.id);
      const reason = this.doubted.get(node);
      if (reason !== undefined) {
        if (holds) this.tell(run, [index], { kind: 'hold', reason });
        continue;
      }
      const held = holds && { gates: new Set(holds.gates), permits: new Set(holds.permits) };
      for (const decision of decideFor(run.state, index, held)) this.tell(run, [index], decision, hello.blobs);
    }
    for (const { run } of hello.runs)
      if (!this.active.has(run)) this.parts.dispatcher.send([node], { kind: 'forget', value: { run } });
  }

  /** Two machines use the node's certificate: nothing new starts under its name until {@link trust}. */
  doubt(node: string, reason: string): void {
    this.doubted.set(node, reason);
    for (const { run, index } of this.runsOf(node)) this.tell(run, [index], { kind: 'hold', reason });
  }

  /** The node is one machine again: what was held goes on, and what was not given to it yet is. */
  trust(node: string): void {
    if (!this.doubted.delete(node)) return;
    for (const { run, index } of this.runsOf(node)) {
      if (run.sent.has(index)) this.tell(run, [index], { kind: 'resume' });
      else for (const decision of decideFor(run.state, index, undefined)) this.tell(run, [index], decision);
    }
  }

  cancel(runId: string, by: string): void {
    if (!this.active.has(runId))
      throw new KkError({
        code: 'RUN_NOT_ACTIVE',
        message: `Run ${runId} is not at work.`,
        remedy: 'See `kk-controller runs` for the runs there are.',
      });
    this.record(runId, { kind: 'cancel', at: this.parts.clock.nowMs(), by });
  }

  /** The document a node asks for, if one of its own shares names it (ENGINE 4.9). */
  blob(node: string, sha256: string): Uint8Array | undefined {
    for (const run of this.active.values()) {
      const found = run.nodes.has(node) ? run.documents.blob(run.indexes.get(node) ?? -1, sha256) : undefined;
      if (found) return found;
    }
    return undefined;
  }

  /** Gives up nodes that were silent too long, and tries again what could not be stored. Called about once a second. */
  tick(): void {
    void this.intake.retry();
    if (this.intake.stalled) return;
    const { clock, dispatcher, options } = this.parts;
    for (const run of this.active.values()) {
      if (run.state.status !== 'running') continue;
      for (const node of run.graph.nodes.keys()) {
        const error = tooSilent(run, node, dispatcher, options, clock.monotonicMs());
        if (error) this.record(run.record.id, { kind: 'given_up', at: clock.nowMs(), node, error });
      }
    }
  }

  /** Resolves when everything that came before is stored and applied. Throws what keeps it from being stored (DISK_FULL). */
  flush(): Promise<void> {
    return this.intake.flush();
  }

  /** As {@link flush}, until nothing is left to do. */
  idle(): Promise<void> {
    return this.intake.idle();
  }

  private adopt(record: RunRecord, graph: TaskGraph): ActiveRun {
    const run = newActiveRun(record, graph, this.parts.clock.monotonicMs());
    this.active.set(record.id, run);
    return run;
  }

  /** The runs at work in which the node has steps left. */
  private runsOf(node: string): { run: ActiveRun; index: number }[] {
    return [...this.active.values()].flatMap((run) => {
      const index = run.indexes.get(node);
      const isAtWork = index !== undefined && run.state.status === 'running' && (run.state.pending[index] ?? 0) > 0;
      return isAtWork ? [{ run, index }] : [];
    });
  }

  private startQueued(): void {
    for (const run of this.active.values()) {
      if (run.state.status !== 'queued' || run.starting || this.blockersOf(run).length > 0) continue;
      run.starting = true;
      this.record(run.record.id, { kind: 'started', at: this.parts.clock.nowMs() });
    }
  }

  /** Brings stored events into the run's state and does what follows. */
  private apply(run: ActiveRun, events: readonly RunEvent[]): void {
    for (const event of events) applyEvent(run.state, event);
    run.record.status = run.state.status;
    this.parts.watcher.events(run, events);
    for (const event of events) {
      if (event.kind === 'permit_granted' && run.state.status === 'running')
        this.tellPermit(run, event.task, event.node);
      if (event.kind === 'started') this.begin(run);
    }
    this.follow(run);
    if (runHasEnded(run.state.status)) this.finish(run);
  }

  private tellPermit(run: ActiveRun, task: number, node: number): void {
    if (wishPermit(run.state, task, node) === 'granted') this.tell(run, [node], { kind: 'permit', task });
  }

  /** First push to everybody who is connected already. */
  private begin(run: ActiveRun): void {
    run.sinceMs = this.parts.clock.monotonicMs();
    const nodes = run.graph.nodes.flatMap((name, node) =>
      (run.state.pending[node] ?? 0) > 0 && !this.doubted.has(name) ? [node] : [],
    );
    this.tell(run, nodes, { kind: 'push' });
  }

  /** Tells what follows from the state now; stores what must be remembered first. */
  private follow(run: ActiveRun): void {
    if (run.state.status !== 'running') return;
    for (const { nodes, decision } of decide(run.state)) this.tell(run, nodes, decision);
    for (const { task, node } of permitsToGrant(run.state)) {
      this.record(run.record.id, { kind: 'permit_granted', at: this.parts.clock.nowMs(), node, task });
    }
    const end = run.ending ? undefined : decideEnd(run.state);
    if (!end) return;
    run.ending = true;
    this.record(run.record.id, { kind: 'finished', at: this.parts.clock.nowMs(), status: end });
  }

  private finish(run: ActiveRun): void {
    run.record.endedMs = this.parts.clock.nowMs();
    this.active.delete(run.record.id);
    this.parts.dispatcher.send([...run.nodes], { kind: 'forget', value: { run: run.record.id } });
    this.startQueued();
  }

  private tell(run: ActiveRun, nodes: readonly number[], decision: Decision, cached?: readonly string[]): void {
    tell(this.parts.dispatcher, run, nodes, decision, cached);
  }
}
