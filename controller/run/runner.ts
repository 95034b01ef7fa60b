import { runHasEnded } from '../../shared/lifecycle.ts';
import type { Hello, RunHeld } from '../../shared/protocol/messages.ts';
import type { TaskGraph } from '../compile/graph.ts';
import { graphFromJson, graphToJson } from '../compile/serialise.ts';
import { type ActiveRun, blockersOf, type Candidate, newActiveRun, nodesWithSteps, reviseRun } from './active-run.ts';
import { applyEvent } from './apply-event.ts';
import { type Decision, decide, decideEnd, decideFor, permitsToGrant, wishPermit } from './decide.ts';
import { Departures } from './departures.ts';
import type { Revision, RunEvent } from './events.ts';
import { LastPlans } from './forget.ts';
import { Holds } from './hold.ts';
import { type FromNode, Intake } from './intake.ts';
import { decideLocal } from './local/steps.ts';
import { type LocalParts, LocalWorker } from './local/worker.ts';
import type { Clock, Dispatcher, EventLog, LoggedRun, RunRecord } from './ports.ts';
import {
  afterLoss,
  answersCarried,
  carried,
  failuresKept,
  lastRevision,
  losesBy,
  replay,
  wasAtWork,
} from './revise.ts';
import {
  permitUnknown,
  runNotActive,
  runNotEnded,
  runNotPaused,
  runNotResumable,
  runQueued,
  runSuperseded,
  runUnknown,
} from './run-errors.ts';
import { type Patience, tooSilent } from './silence.ts';
import { statusOf } from './state.ts';
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
  /** What the steps of the controller's own need. */
  local: Omit<LocalParts, 'clock' | 'record'>;
  /** The store cannot be written (once), or, with undefined, can be again. */
  trouble(error: unknown): void;
}

/** What is wanted of a run's next revision; indexes are those of `graph` (absent: the same as before). */
export type RevisionWish = Pick<Revision, 'how' | 'by' | 'node' | 'retry' | 'rerun' | 'skip'> & { graph?: TaskGraph };

/** A backup is not that many revisions behind: a node that shows more than these has made them up. */
const MOST_LOST = 1000;

/**
 * The loop: store what happened, apply it, decide what follows, tell the agents; one batch at a time. The only part of
 * `run` with state and timers; the deciding is in apply-event and decide.
 */
export class Runner {
  /** In order of arrival. */
  readonly active = new Map<string, ActiveRun>();
  readonly departures = new Departures();
  private readonly holds = new Holds();
  private readonly plans = new LastPlans();
  /** The highest revision of a run that a node has shown; above ours when we were restored from a backup. */
  private readonly seen = new Map<string, number>();
  private readonly parts: RunnerParts;
  private readonly intake: Intake;
  private readonly worker: LocalWorker;

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
    this.worker = new LocalWorker({
      ...parts.local,
      clock: parts.clock,
      record: (run, revision, event) => this.intake.add({ kind: 'event', run, event, revision }),
    });
  }

  /** Stops what the controller itself is doing in runs; the next one begins it anew. */
  close(): void {
    this.worker.close();
  }

  /**
   * Rebuilds every run that had not ended, by the same apply-event that made it. Must be done before agents are listened
   * to: what they say of runs that are not known yet would be dropped.
   */
  async recover(): Promise<void> {
    this.plans.load(await this.parts.log.lastPlans());
    for (const logged of await this.parts.log.activeRuns()) {
      const { run } = await this.rebuild(logged);
      this.active.set(run.record.id, run);
    }
    for (const run of this.active.values()) this.follow(run);
    this.startQueued();
    await this.idle();
  }

  /**
   * Stores a new run and starts it, or queues it behind a run that holds one of its nodes (ENGINE 2.10). Throws KkError
   * NODE_LEAVING.
   */
  async create(graph: TaskGraph, { id, by }: Pick<RunRecord, 'id' | 'by'>): Promise<ActiveRun> {
    const { name, kind } = graph;
    const createdMs = this.parts.clock.nowMs();
    const record: RunRecord = { id, by, name, kind, status: 'queued', revision: 1, createdMs, endedMs: undefined };
    const entered = this.departures.enter(nodesWithSteps(graph));
    let run: ActiveRun;
    try {
      await this.parts.log.createRun(record, graphToJson(graph));
      run = newActiveRun(record, graph, this.parts.clock.monotonicMs());
      this.active.set(id, run);
    } finally {
      entered();
    }
    this.startQueued();
    await this.flush();
    return run;
  }

  /**
   * Begins the next revision of a plan run (ENGINE 3.4): resume, retry and skip are this. `wish` is made from the run as it
   * is when all that came before is stored. Throws KkError RUN_UNKNOWN, RUN_NOT_RESUMABLE, RUN_SUPERSEDED, NODE_LEAVING.
   */
  async revise(id: string, wish: (run: ActiveRun) => RevisionWish): Promise<ActiveRun> {
    const begin = (run: ActiveRun): ActiveRun => {
      const wanted = wish(run);
      if (run.coming !== undefined) throw runNotEnded(id);
      if (wanted.how !== 'adopt') this.departures.refuse(nodesWithSteps(wanted.graph ?? run.graph));
      this.beginRevision(run, wanted);
      return run;
    };
    const active = await this.intake.turn(() => {
      const found = this.active.get(id);
      return found && begin(found);
    });
    const run = active ?? begin(await this.reopened(id));
    await this.flush();
    // Its start follows from that.
    await this.flush();
    return run;
  }

  /**
   * A node has another journal than before, or one that ends before what was stored (ENGINE 3.4). The plan runs at work in
   * which it had a part begin a revision each: the agents say what stands, and this one does again what it knows nothing
   * of. That is stored when this resolves, and that the journal counts from `present` on; nothing must be taken from the new
   * one before, and nothing from an older connection after.
   */
  async voided(node: string, present: { journal: string; sequence: number }): Promise<void> {
    await this.intake.turn(() => {
      for (const run of this.active.values()) {
        const index = run.indexes.get(node);
        if (index !== undefined && run.coming === undefined && losesBy(run, index))
          this.beginRevision(run, afterLoss(run, index));
      }
      this.intake.add({ kind: 'rewind', node, ...present });
    });
    await this.flush();
  }

  private beginRevision(run: ActiveRun, { graph, ...wanted }: RevisionWish): void {
    const { id, revision: present } = run.record;
    const revision = Math.max(present, Math.min(this.seen.get(id) ?? 0, present + MOST_LOST)) + 1;
    const { permits } = carried(run.state, run.revision, graph ?? run.graph);
    const answers = answersCarried(run.state, graph ?? run.graph);
    const failures = failuresKept(run.state, graph ?? run.graph, wanted.retry);
    run.coming = graph ?? run.graph;
    this.active.set(id, run);
    const event: Revision = {
      kind: 'revised',
      at: this.parts.clock.nowMs(),
      revision,
      ...wanted,
      permits,
      ...answers,
      ...failures,
    };
    const graphJson = graph && graphToJson(graph);
    this.intake.add({
      kind: 'event',
      run: id,
      event,
      revision: present,
      ...(graphJson ? { graphJson } : {}),
    });
    if (wanted.how === 'adopt' || wanted.how === 'voided') this.carryOn(run, revision);
  }

  /** The runs that hold a node this one wants; empty: it can start. */
  blockersOf(run: Candidate): ActiveRun[] {
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

  /** Something the controller itself found, of the run's present revision: a node given up. */
  record(id: string, event: RunEvent): void {
    const run = this.active.get(id);
    if (run) this.intake.add({ kind: 'event', run: id, event, revision: run.record.revision });
  }

  permitWanted(node: string, id: string, revision: number, task: number): void {
    const run = this.active.get(id);
    const index = run?.indexes.get(node);
    if (!run || index === undefined || revision !== run.record.revision) return;
    if (wishPermit(run.state, task, index) === 'granted') this.tell(run, [index], { kind: 'permit', task });
    this.follow(run);
  }

  /** An agent has said Hello: it is told whatever it does not hold yet, and what it shall hold on with or forget. */
  connected(node: string, hello: Hello): void {
    const there = new Map(hello.runs.map((held) => [held.run, held]));
    for (const { run, revision } of hello.runs) this.seen.set(run, Math.max(revision, this.seen.get(run) ?? 0));
    for (const run of this.active.values()) {
      const index = run.indexes.get(node);
      if (index !== undefined) this.greet(run, index, there.get(run.record.id), hello.blobs);
    }
    for (const { run: id, revision } of hello.runs) {
      const run = this.active.get(id);
      if (!run) this.dismiss(node, id);
      else if (!run.nodes.has(node)) this.leaveOut(node, run, revision);
      else if (revision > run.record.revision && this.holds.unadopted(id) === undefined) void this.catchUp(run);
    }
  }

  /** Two machines use the node's certificate: nothing new starts under its name until {@link trust}. */
  doubt(node: string, reason: string): void {
    this.holds.doubted.set(node, reason);
    for (const { run, index } of this.runsOf(node)) this.tell(run, [index], { kind: 'hold', reason });
  }

  /** The node is one machine again: what was held goes on, and what was not given to it yet is. */
  trust(node: string): void {
    if (!this.holds.doubted.delete(node)) return;
    for (const { run, index } of this.runsOf(node)) this.release(run, [index]);
  }

  /**
   * Agents have met a newer controller: nothing new starts in any run but the `adopted` ones, until a person has adopted
   * them. Undefined: all are.
   */
  holdBehind(behind: { reason: string; adopted: ReadonlySet<string> } | undefined): void {
    this.holds.setBehind(behind);
    for (const run of this.active.values()) {
      const reason = this.holds.unadopted(run.record.id);
      if (reason !== undefined) this.tell(run, this.open(run), { kind: 'hold', reason });
      else if ((this.seen.get(run.record.id) ?? 0) > run.record.revision) void this.catchUp(run);
      else this.release(run, this.open(run));
      run.sinceMs = this.parts.clock.monotonicMs();
    }
    this.startQueued();
  }

  /** Why nothing new may be asked for: a person has to adopt the runs first. */
  get heldBehind(): string | undefined {
    return this.holds.reason;
  }

  /** The agent was taken off the node: runs at work do not wait until its lease would end. Stored when this resolves. */
  async removed(node: string): Promise<void> {
    const error = {
      code: 'NODE_REMOVED',
      message: `${node} was removed from the fleet while the run was at work on it.`,
      remedy: 'See on the machine how far its steps came; take it out of the plan, or let it join again, and apply.',
      node,
    };
    for (const { run, index } of this.runsOf(node))
      this.record(run.record.id, { kind: 'given_up', at: this.parts.clock.nowMs(), node: index, error });
    await this.flush();
  }

  /** Asks the nodes to stop; `force`: also what holds a permit. Throws KkError RUN_NOT_ACTIVE. */
  cancel(id: string, by: string, force = false): void {
    const run = this.active.get(id);
    if (!run) throw runNotActive(id);
    run.cancelling = true;
    // A push that is under way is not accepted yet, and will be.
    const asked = [...run.graph.nodes.keys()].filter(
      (node) => run.recovered || run.sent.has(node) || run.older.has(node),
    );
    this.record(id, { kind: 'cancel', at: this.parts.clock.nowMs(), by, asked, ...(force ? { force } : {}) });
  }

  /** Nothing new starts until {@link unpause}. Throws KkError RUN_NOT_ACTIVE, RUN_QUEUED. */
  pause(id: string, by: string): void {
    const run = this.active.get(id);
    if (!run) throw runNotActive(id);
    if (run.state.status === 'queued') throw runQueued(id);
    if (!run.state.paused) this.record(id, { kind: 'paused', at: this.parts.clock.nowMs(), by });
  }

  /** Throws KkError RUN_NOT_PAUSED. */
  unpause(id: string, by: string): void {
    const run = this.active.get(id);
    if (!run?.state.paused) throw runNotPaused(id, run === undefined);
    this.record(id, { kind: 'unpaused', at: this.parts.clock.nowMs(), by });
  }

  /** Frees a permit that failed steps of a run at work keep. Throws KkError RUN_NOT_ACTIVE, PERMIT_UNKNOWN. */
  releasePermit(id: string, name: string, by: string): void {
    const run = this.active.get(id);
    if (!run) throw runNotActive(id);
    const kept = [...run.state.permits].filter(([, permit]) => permit.stuck !== undefined).map(([held]) => held);
    if (!kept.includes(name)) throw permitUnknown(id, name, kept);
    this.record(id, { kind: 'permit_released', at: this.parts.clock.nowMs(), name, by });
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
      if (run.state.status !== 'running' || this.holds.unadopted(run.record.id) !== undefined) continue;
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

  private async rebuild({ record, graphJson }: LoggedRun): Promise<{ run: ActiveRun; hasStarted: boolean }> {
    const events = await this.parts.log.events(record.id);
    const graph = graphFromJson(graphJson);
    const now = this.parts.clock.monotonicMs();
    const run = newActiveRun(record, graph, now, lastRevision(events), replay(graph, events));
    run.sequence = events.length;
    run.recovered = wasAtWork(events);
    return { run, hasStarted: events.some(({ kind }) => kind === 'started') };
  }

  /** A run that has ended, to begin anew. */
  private async reopened(id: string): Promise<ActiveRun> {
    const logged = await this.parts.log.find(id);
    if (!logged) throw runUnknown(id);
    const { kind } = logged.record;
    if (kind !== 'plan') throw runNotResumable(id, kind === 'exec' ? 'it is an exec' : 'it was a dry run');
    const { run, hasStarted } = await this.rebuild(logged);
    if (this.active.has(id)) throw runNotEnded(id);
    if (run.state.status === 'done') throw runNotResumable(id, 'it is done');
    if (!hasStarted) return run;
    const overtaken = this.plans.overtakenBy(id, run.nodes);
    if (overtaken) throw runSuperseded(id, { ...overtaken, has: 'has started' });
    // It will be overtaken before its turn comes, and be forgotten there.
    const next = this.blockersOf(run).find(({ record }) => record.kind === 'plan');
    const [node = ''] = [...run.nodes].filter((name) => next?.nodes.has(name));
    if (next) throw runSuperseded(id, { node, run: next.record.id, has: 'will start' });
    // Of a version that let nodes forget whatever had ended.
    if (!this.plans.knows(id)) throw runNotResumable(id, 'its nodes have forgotten what they did of it');
    return run;
  }

  /** A node shows a later revision of the run than this controller knows: ours must be above it to count there. */
  private async catchUp({ record: { id }, coming }: ActiveRun): Promise<void> {
    if (coming !== undefined) return;
    await this.revise(id, (run) => ({ how: 'adopt', by: '', rerun: [], skip: run.revision?.skip ?? [] })).catch(
      this.parts.trouble,
    );
  }

  /** Nobody has asked for this revision: what was asked of the one before is asked of it. */
  private carryOn({ record: { id }, state, graph }: ActiveRun, revision: number): void {
    const at = this.parts.clock.nowMs();
    const add = (event: RunEvent): void => this.intake.add({ kind: 'event', run: id, event, revision });
    const force = state.forced ? { force: true as const } : {};
    if (state.paused) add({ kind: 'paused', at, by: '' });
    if (state.cancelled) add({ kind: 'cancel', at, by: '', asked: [...graph.nodes.keys()], ...force });
  }

  /** A node has an earlier revision of a run in which it has no part any more. */
  private leaveOut(node: string, { record: { id, revision } }: ActiveRun, there: number): void {
    const reason = this.holds.unadopted(id) ?? (there > revision ? 'The node has no part in this run.' : undefined);
    if (reason === undefined) this.forget(id, [node]);
    else this.parts.dispatcher.send([node], { kind: 'hold', value: { run: id, reason } });
  }

  /** Everything a node that connects must know of a run at work. */
  private greet(run: ActiveRun, index: number, there: RunHeld | undefined, cached: readonly string[]): void {
    const name = run.graph.nodes[index] ?? '';
    const isPresent = there?.revision === run.record.revision;
    if (run.state.status !== 'running') {
      if (there) this.tell(run, [index], { kind: 'hold', reason: 'The run is queued.' });
      return;
    }
    if (isPresent) run.sent.add(index);
    // What was on its way to it is lost: it is given when nothing holds it any more.
    else run.sent.delete(index);
    const reason = this.holds.reasonFor(run, name);
    const isOpen = run.state.nodes[index] !== 'given_up' && (run.state.pending[index] ?? 0) > 0;
    // Before what follows from it: a gate that opens first would start a step. Held also where it has nothing: a push of
    // the last connection may just be taken in.
    if (isOpen && reason !== undefined) this.tell(run, [index], { kind: 'hold', reason });
    else if (isOpen && isPresent) this.tell(run, [index], { kind: 'resume' });
    const held = there && (isPresent ? { gates: new Set(there.gates), permits: new Set(there.permits) } : 'older');
    for (const decision of decideFor(run.state, index, held))
      if (reason === undefined || isPresent || decision.kind === 'hold' || decision.kind === 'cancel')
        this.tell(run, [index], decision, cached);
    // After the push: nothing of the revision before shall go on.
    if (isOpen && there && !isPresent && reason === undefined) this.tell(run, [index], { kind: 'resume' });
  }

  /** A run that has ended here, on a node that still has it. */
  private dismiss(node: string, run: string): void {
    const send = (message: Parameters<Dispatcher['send']>[1]): void => this.parts.dispatcher.send([node], message);
    const kept = this.plans.keptOn(node, run);
    const reason = this.holds.reason;
    if (kept === 'cancelled') send({ kind: 'cancel', value: { run, grace_ms: 0, force: false } });
    else if (kept !== undefined) send({ kind: 'hold', value: { run, reason: 'The run has ended without this node.' } });
    // A newer controller may have started it: until a person has adopted the fleet nothing is thrown away.
    else if (reason !== undefined) send({ kind: 'hold', value: { run, reason } });
    else send({ kind: 'forget', value: { run } });
  }

  /** The runs at work in which the node has steps left. */
  private runsOf(node: string): { run: ActiveRun; index: number }[] {
    return [...this.active.values()].flatMap((run) => {
      const index = run.indexes.get(node);
      const isAtWork = index !== undefined && run.state.status === 'running' && (run.state.pending[index] ?? 0) > 0;
      return isAtWork ? [{ run, index }] : [];
    });
  }

  /** The nodes of a run at work that have steps left. */
  private open(run: ActiveRun): number[] {
    if (run.state.status !== 'running') return [];
    return [...run.graph.nodes.keys()].filter((node) => (run.state.pending[node] ?? 0) > 0);
  }

  /** What held nodes is over: they go on, and get what was not given to them yet. */
  private release(run: ActiveRun, nodes: readonly number[]): void {
    for (const node of nodes) {
      if (this.isHeld(run, node)) continue;
      if (run.sent.has(node)) this.tell(run, [node], { kind: 'resume' });
      else for (const decision of decideFor(run.state, node, undefined)) this.tell(run, [node], decision);
    }
    this.followLocal(run);
  }

  private startQueued(): void {
    for (const run of this.active.values()) {
      if (run.state.status !== 'queued' || run.starting || this.holds.unadopted(run.record.id) !== undefined) continue;
      if (this.blockersOf(run).length > 0) continue;
      run.starting = true;
      this.record(run.record.id, { kind: 'started', at: this.parts.clock.nowMs() });
    }
  }

  /** Brings stored events into the run's state and does what follows. */
  private apply(run: ActiveRun, events: readonly RunEvent[]): void {
    for (const event of events) {
      if (event.kind === 'revised') {
        this.worker.drop(run.record.id, event.revision);
        this.forget(run.record.id, reviseRun(run, event, this.parts.clock.monotonicMs()));
      }
      applyEvent(run.state, event);
    }
    run.record.status = statusOf(run.state);
    this.parts.watcher.events(run, events);
    for (const event of events.slice(events.findLastIndex(({ kind }) => kind === 'revised') + 1)) this.act(run, event);
    this.follow(run);
    if (runHasEnded(run.state.status)) this.finish(run);
    else if (run.state.status === 'queued') this.startQueued();
  }

  /** What an event of the present revision asks for by itself. */
  private act(run: ActiveRun, event: RunEvent): void {
    if (event.kind === 'started') this.begin(run);
    else if (event.kind === 'cancel') {
      this.worker.cancel(run.record.id);
      // Who was not given this revision cannot say what became of its steps.
      for (const node of this.open(run)) if (!run.sent.has(node)) this.give(run, node);
    } else if (event.kind === 'paused') {
      for (const node of this.open(run)) {
        const reason = this.holds.reasonFor(run, run.graph.nodes[node] ?? '');
        if (reason !== undefined) this.tell(run, [node], { kind: 'hold', reason });
      }
    } else if (event.kind === 'unpaused') this.release(run, this.open(run));
    else if (event.kind === 'permit_granted' && run.state.status === 'running')
      this.tellPermit(run, event.task, event.node);
  }

  private tellPermit(run: ActiveRun, task: number, node: number): void {
    if (wishPermit(run.state, task, node) === 'granted') this.tell(run, [node], { kind: 'permit', task });
  }

  /** First push to everybody who is connected already; who was there before is taken over. */
  private begin(run: ActiveRun): void {
    run.sinceMs = this.parts.clock.monotonicMs();
    if (run.record.kind === 'plan')
      for (const [before, nodes] of this.plans.started(run.record.id, run.nodes)) this.forget(before, nodes);
    const nodes = this.open(run).filter((node) => this.give(run, node));
    if (run.revision === undefined) return;
    // What is at work gives its permit back and asks again: a wish of ours would come before what its node wants first.
    for (const { task, node, failed } of run.revision.permits) if (failed) this.tellPermit(run, task, node);
    this.tell(run, nodes, { kind: 'resume' });
  }

  /** Pushes to a node, unless it is held: then it is told so, for it may have an earlier revision. */
  private give(run: ActiveRun, node: number): boolean {
    const reason = this.holds.reasonFor(run, run.graph.nodes[node] ?? '');
    this.tell(run, [node], reason === undefined ? { kind: 'push' } : { kind: 'hold', reason });
    return reason === undefined;
  }

  /** Tells what follows from the state now; stores what must be remembered first. */
  private follow(run: ActiveRun): void {
    if (run.state.status !== 'running') return;
    for (const { nodes, decision } of decide(run.state)) {
      this.tell(run, nodes, decision);
      // What a cancel leaves to be done there is not held by a pause any more.
      if (decision.kind === 'cancel' && run.state.paused)
        this.tell(
          run,
          nodes.filter((node) => run.sent.has(node) && !this.isHeld(run, node)),
          { kind: 'resume' },
        );
    }
    for (const { task, node } of permitsToGrant(run.state)) {
      this.record(run.record.id, { kind: 'permit_granted', at: this.parts.clock.nowMs(), node, task });
    }
    this.followLocal(run);
    const end = run.ending ? undefined : decideEnd(run.state);
    if (!end) return;
    run.ending = true;
    this.record(run.record.id, { kind: 'finished', at: this.parts.clock.nowMs(), status: end });
  }

  /** Begins what is the controller's own to do, and stores what of it never will be done. */
  private followLocal(run: ActiveRun): void {
    const { start, blocked } = decideLocal(run.state, (node) => !run.cancelling && !this.isHeld(run, node));
    for (const step of start) this.worker.start(run, step);
    for (const { task, node, cause, cancelled } of blocked)
      this.record(run.record.id, {
        kind: 'blocked',
        at: this.parts.clock.nowMs(),
        node,
        tasks: [task],
        cause,
        cancelled,
      });
  }

  private isHeld(run: ActiveRun, node: number): boolean {
    return this.holds.reasonFor(run, run.graph.nodes[node] ?? '') !== undefined;
  }

  private finish(run: ActiveRun): void {
    const { id, kind } = run.record;
    run.record.endedMs = this.parts.clock.nowMs();
    this.active.delete(id);
    this.worker.drop(id);
    if (kind === 'plan') this.plans.ended(id, run.state.status);
    // What has not ended well may be resumed, until a newer plan run starts there.
    if (kind !== 'plan' || run.state.status === 'done') this.forget(id, [...run.nodes]);
    this.startQueued();
  }

  private forget(run: string, nodes: readonly string[]): void {
    this.parts.dispatcher.send(nodes, { kind: 'forget', value: { run } });
  }

  private tell(run: ActiveRun, nodes: readonly number[], decision: Decision, cached?: readonly string[]): void {
    tell(this.parts.dispatcher, run, nodes, decision, cached);
  }
}
