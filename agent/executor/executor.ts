import { blocksAround, isBlock } from '../../shared/blocks.ts';
import { reportOf } from '../../shared/errors.ts';
import { hasEnded } from '../../shared/lifecycle.ts';
import type { Generation } from '../../shared/protocol/messages.ts';
import type { Common } from '../../shared/share.ts';
import { Cancelled } from '../host/cancelled.ts';
import type { Held, Wish, Work, WorkMessage } from '../link/work.ts';
import { readCommon } from './accept.ts';
import type { Blobs } from './blobs.ts';
import { atBegin } from './block.ts';
import { Inbox } from './inbox.ts';
import type { Journal, Outgoing } from './journal.ts';
import { Lease } from './lease.ts';
import { type Live, LiveSteps } from './live-steps.ts';
import { Outputs } from './outputs.ts';
import type { ExecutorPorts } from './ports.ts';
import { PreparedRuns } from './prepared.ts';
import type { JournalRecord, NewRecord } from './records.ts';
import { type Decision, type Scheduling, schedule, stepKey } from './schedule.ts';
import { Secrets } from './secrets.ts';
import { type AgentState, applyRecord, type Ending, emptyState, type RunRecord, stateOf } from './state.ts';
import { Step } from './step.ts';
import { StepContext } from './step-context.ts';

export interface ExecutorOptions extends ExecutorPorts {
  journal: Journal;
  /** What the journal held when it was opened. */
  records: readonly JournalRecord[];
  blobs: Blobs;
  /** A random one, for the life of the journal that begins. */
  newId: () => string;
}

/**
 * Turns shares into work. Its state is what the journal's records make of it; after every change `schedule` says what
 * may start. Everything a step does goes through the journal first, so that a restart goes on where this stopped.
 */
export class Executor implements Work {
  readonly #options: ExecutorOptions;
  readonly #state: AgentState = emptyState();
  readonly #prepared: PreparedRuns;
  readonly #live: LiveSteps;
  readonly #lease: Lease;
  readonly #outputs: Outputs;
  readonly #wished = new Set<string>();
  readonly #inbox: Inbox;
  readonly #secrets: Secrets;
  #ticking = false;
  #closed = false;
  /** Set while nothing new may start: called whenever less is at work. */
  #onLess: (() => void) | undefined;
  #onWish: (wish: Wish) => void = () => {};

  private constructor(options: ExecutorOptions) {
    this.#options = options;
    this.#secrets = new Secrets({
      ...options,
      ask: options.secret,
      isWanted: (run, name) => this.#wantsSecret(run, name),
      onCome: () => this.#tick(),
    });
    const { journal } = options;
    const changed = (): void => this.#tick();
    this.#prepared = new PreparedRuns({
      secrets: this.#secrets,
      logger: options.logger,
      journalId: journal.id,
      gatherFacts: () => options.gatherFacts(options.host),
      onFacts: (run, facts) => {
        if (this.#state.runs.get(run.run) === run) this.#record({ type: 'facts', run: run.run, version: 1, facts });
      },
      changed,
    });
    this.#live = new LiveSteps((run) => this.#inbox.isReplaced(run), changed);
    this.#lease = new Lease({
      ...options,
      state: this.#state,
      journal: (contact) => void journal.append({ type: 'contact', ...contact }, { lazy: true }),
    });
    this.#outputs = new Outputs({ ...options, synced: () => journal.synced() });
    for (const record of options.records) applyRecord(this.#state, record);
    this.#inbox = new Inbox({
      state: this.#state,
      blobs: options.blobs,
      logger: options.logger,
      record: (record) => this.#record(record),
      isAtWork: (run) => this.#live.has(run),
      commonOf: (run) => this.#prepared.get(run)?.common,
      accepted: (run, common) => this.#prepare(run, common),
      cancelled: (run, cancel) => void this.#cancel(run, cancel),
      replaced: (run) => this.#live.giveWay(run),
      forgotten: (run) => this.#forget(run),
      wish: (wish) => this.#onWish(wish),
      changed,
    });
  }

  /** Rebuilds everything from the journal and takes up the steps that a restart cut short. */
  static async start(options: ExecutorOptions): Promise<Executor> {
    const executor = new Executor(options);
    // Nothing is decided before all runs are known: the last one may have taken the node over.
    executor.#ticking = true;
    executor.#record({ type: 'life', id: options.newId(), after: options.journal.lastSequence });
    // What the controller hears of must not be forgotten: without it the journal would seem to have been set back.
    await options.journal.settled();
    // Before a step is taken up: what it makes anew must stay.
    await executor.#outputs.sweepActions(executor.#state);
    for (const run of executor.#state.runs.values()) {
      const bytes = await options.blobs.read(run.common);
      // Without its document the run is not named in Hello, and the controller pushes it again.
      if (bytes === undefined)
        options.logger.warn(
          { run: run.run },
          'the common document of a run is lost; waiting for it to be pushed again',
        );
      else await executor.#takeUp(run, bytes);
    }
    await options.blobs.sweep(new Set([...executor.#state.runs.values()].map((run) => run.common)));
    await executor.#outputs.sweepRuns(executor.#state);
    executor.#ticking = false;
    executor.#tick();
    return executor;
  }

  held(): Held {
    const { journal, blobs } = this.#options;
    const {
      lives,
      generation: { value, mac },
    } = this.#state;
    const runs = [...this.#state.runs.values()]
      .filter((run) => this.#prepared.get(run.run) !== undefined)
      .map(({ run, revision, gates, permits }) => ({ run, revision, gates: [...gates.keys()], permits: [...permits] }));
    const generation = { value, mac: Buffer.from(mac, 'base64') };
    return { journalId: journal.id, lastSequence: journal.lastSequence, generation, runs, blobs: blobs.list(), lives };
  }

  running(): number {
    return this.#live.size;
  }

  /** Name of a step that wants the node for itself and is at work. */
  alone(): string | undefined {
    return this.#live.alone();
  }

  handle(message: WorkMessage): void {
    this.#inbox.handle(message);
  }

  outgoing(after: number, bytes: number): Promise<Outgoing[]> {
    return this.#options.journal.read(after, bytes);
  }

  acknowledge(sequence: number): void {
    this.#options.journal.acknowledge(sequence);
  }

  welcomed({ value, mac }: Generation): void {
    if (value > this.#state.generation.value) {
      this.#record({ type: 'generation', value, mac: Buffer.from(mac).toString('base64') });
    }
    this.#wished.clear();
    this.#inbox.welcomed();
    this.#secrets.retry();
    this.#tick();
  }

  contact(atMs: number, leaseMs: number): void {
    if (this.#lease.contact(atMs, leaseMs)) this.#tick();
  }

  onOutgoing(listener: () => void): void {
    this.#options.journal.onOutgoing(listener);
  }

  onWish(listener: (wish: Wish) => void): void {
    this.#onWish = listener;
  }

  /** Resolves when every message taken in so far was dealt with and facts under way are there. */
  async idle(): Promise<void> {
    await this.#inbox.idle();
    await this.#prepared.idle();
  }

  /**
   * Starts nothing new until {@link goOn}. Resolves when only commands are at work, or what waits for another try: both
   * go on with the next agent.
   */
  async standStill(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#onLess = () => {
        if (this.#live.areSettled()) resolve();
      };
      this.#onLess();
    });
  }

  goOn(): void {
    this.#onLess = undefined;
    this.#tick();
  }

  /** Starts nothing more. Commands at work go on without the agent; the next one finds them (ENGINE 3.1). */
  close(): void {
    this.#closed = true;
    this.#secrets.close();
  }

  #record(record: NewRecord): void {
    // After close the next agent owns the story: what this one still hears must not be written.
    if (this.#closed) return;
    applyRecord(this.#state, this.#options.journal.append(record));
    this.#tick();
  }

  /** A document of another version is not read: the controller pushes the run again, and is told why it cannot be done. */
  async #takeUp(run: RunRecord, bytes: Uint8Array): Promise<void> {
    let common: Common;
    try {
      common = readCommon(bytes);
    } catch (thrown) {
      this.#options.logger.warn({ run: run.run, report: reportOf(thrown) }, 'the document of a run cannot be read');
      return;
    }
    this.#prepare(run, common);
    // What was printed by steps that ended right before the agent did (ENGINE 2.7).
    for (const [task, { state, hasBegun }] of run.steps)
      if (hasBegun && state !== 'begun' && common.tasks[task]?.sensitive) await this.#outputs.drop(run, task);
  }

  #prepare(run: RunRecord, common: Common): void {
    this.#prepared.add(run, common);
    for (const [task, step] of run.steps)
      if (step.state === 'begun' && !isBlock(common.tasks[task])) this.#launch(run, task);
    this.#tick();
  }

  /** Schedules once this turn of the event loop is over, however often it is called in it. */
  #tick(): void {
    this.#onLess?.();
    if (this.#ticking || this.#closed || this.#onLess !== undefined) return;
    this.#ticking = true;
    queueMicrotask(() => {
      this.#ticking = false;
      if (!this.#closed && this.#onLess === undefined)
        for (const decision of schedule(this.#scheduling())) this.#carryOut(decision);
    });
  }

  #scheduling(): Scheduling {
    const prepared = this.#prepared;
    return {
      runs: [...this.#state.runs.values()].filter((run) => prepared.get(run.run) !== undefined),
      specsOf: (run) => prepared.tasks(run),
      isReady: (run) => prepared.get(run.run)?.ready === true && !this.#inbox.isSettling(run),
      leaseHolds: (run) => this.#lease.holds(run),
      isReplaced: (run) => this.#inbox.isReplaced(run),
      keeps: (run, task) => prepared.keeps(run, task),
      hasSecrets: (run, task) => this.#hasSecrets(run, prepared.secretsOf(run, task)),
      phases: this.#live.phases,
    };
  }

  #carryOut(decision: Decision): void {
    const { run } = decision;
    switch (decision.kind) {
      case 'start':
        if (isBlock(this.#prepared.tasks(run)[decision.task])) this.#beginBlock(run, decision.task);
        else this.#launch(run, decision.task);
        return;
      case 'continue':
        this.#live.goOn(run, decision.task);
        return;
      case 'want-permit': {
        const wish = `${stepKey(run.run, decision.task)}@${run.revision}`;
        if (this.#wished.has(wish)) return;
        this.#wished.add(wish);
        this.#onWish({
          kind: 'permit_wanted',
          value: { run: run.run, revision: run.revision, task: decision.task },
        });
        return;
      }
      case 'want-secrets':
        this.#secrets.want(run.run, this.#prepared.secretsOf(run, decision.task));
        return;
      case 'block': {
        const { tasks, cause, cancelled } = decision;
        const atMs = this.#options.clock.nowMs();
        const keys = tasks.map((task) => this.#prepared.keyOf(run, task));
        this.#record({ type: 'blocked', run: run.run, revision: run.revision, tasks, cause, cancelled, atMs, keys });
        return;
      }
      case 'end':
        this.#end(run, decision.task, decision.ending);
        return;
    }
  }

  #end(run: RunRecord, task: number, ending: Ending): void {
    const atMs = this.#options.clock.nowMs();
    const at = {
      run: run.run,
      revision: run.revision,
      task,
      key: this.#prepared.keyOf(run, task),
      atMs,
      durationMs: 0,
    };
    this.#record({ type: 'ended', ...at, ...ending });
  }

  /** A block has no work of its own: it is begun, and `schedule` ends it. */
  #beginBlock(run: RunRecord, task: number): void {
    const { common, variables } = this.#prepared.get(run.run) ?? {};
    const spec = common?.tasks[task];
    if (spec === undefined || variables === undefined) return;
    const ending = atBegin(run, spec, variables.scopeOf(spec));
    if (ending !== undefined) {
      this.#end(run, task, ending);
      return;
    }
    const at = { run: run.run, revision: run.revision, task, atMs: this.#options.clock.nowMs() };
    this.#record({ type: 'begun', ...at, boot: this.#options.bootId });
  }

  #launch(run: RunRecord, task: number): void {
    const prepared = this.#prepared.get(run.run);
    const spec = prepared?.common.tasks[task];
    if (prepared === undefined || spec === undefined) return;
    const { tasks } = prepared.common;
    const live = this.#live.add(run, tasks, task, spec);
    const context = new StepContext(
      {
        ...this.#options,
        record: (record) => this.#record(record),
        synced: () => this.#options.journal.synced(),
        turn: (owed = false) => this.#live.turn(live, owed),
        // After close nothing could be written of it.
        mayStart: () => !this.#closed && this.#onLess === undefined && run.held === undefined && this.#lease.holds(run),
        rest: () => this.#live.rest(live),
        facts: () => this.#prepared.factsOf(prepared),
        cancelled: live.abort.signal,
        digest: this.#prepared.digestOf(run),
        secrets: () => this.#secrets.values(),
        haveSecrets: () => this.#haveSecrets(live, this.#prepared.secretsOf(run, task)),
      },
      run,
      prepared.common,
      prepared.variables,
      task,
      spec,
    );
    live.done = new Step(context).work().then(async () => {
      this.#live.remove(live);
      this.#inbox.stepEnded();
      if (this.#secrets.holds(run.run)) this.#dropSecrets(run);
      this.#tick();
      if (spec.sensitive) await this.#outputs.drop(run, task);
    });
    // What was cancelled before a restart still is.
    const isOwed = blocksAround(tasks, task).some(({ part }) => part === 'always');
    if (run.cancel !== undefined && !isOwed && isCancelled(run.cancel, live))
      live.abort.abort(new Cancelled(run.cancel.graceMs));
  }

  #wantsSecret(id: string, name: string): boolean {
    const run = this.#state.runs.get(id);
    return (
      run?.share.tasks.some(
        (task) => this.#prepared.secretsOf(run, task).includes(name) && !hasEnded(stateOf(run, task)),
      ) === true
    );
  }

  /** When nothing is left to do, nobody needs them any more. */
  #dropSecrets(run: RunRecord): void {
    if (run.share.tasks.every((task) => hasEnded(stateOf(run, task)))) this.#secrets.forget(run.run);
  }

  #hasSecrets(run: RunRecord, names: readonly string[]): boolean {
    return run.share.check === true || this.#secrets.has(run.run, names);
  }

  /** Of a step that a restart cut short. A cancel does not end the wait: what the step has begun can only be ended with it. */
  async #haveSecrets(live: Live, names: readonly string[]): Promise<boolean> {
    if (this.#hasSecrets(live.run, names)) return true;
    this.#live.rest(live);
    return (await this.#secrets.ready(live.run.run, names)) && (await this.#live.turn(live, true));
  }

  /** What is at work hears of it when the cancel is on disk: after a power cut nobody could tell why it had been ended. */
  async #cancel(run: RunRecord, cancel: { graceMs: number; force: boolean }): Promise<void> {
    // What begins from now on may do so: the always of a block.
    const atWork = this.#live.of(run);
    await this.#options.journal.settled();
    for (const live of atWork) if (isCancelled(cancel, live)) live.abort.abort(new Cancelled(cancel.graceMs));
  }

  #forget(run: RunRecord): void {
    const over = this.#live.abandon(run);
    this.#prepared.forget(run.run);
    // Step outputs are only removed when nothing writes there any more.
    void over.then(() => this.#outputs.drop(run));
  }
}

/** A forced cancel ends all that is at work. */
function isCancelled(cancel: { force: boolean }, live: Live): boolean {
  return !live.mayFinish || cancel.force;
}
