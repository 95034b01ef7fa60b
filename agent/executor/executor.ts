import { createHmac } from 'node:crypto';
import { join } from 'node:path';
import { runsProgram } from '../../shared/actions/index.ts';
import { blocksAround, isBlock } from '../../shared/blocks.ts';
import { reportOf } from '../../shared/errors.ts';
import type { Facts } from '../../shared/facts.ts';
import { hasEnded } from '../../shared/lifecycle.ts';
import type { Generation } from '../../shared/protocol/messages.ts';
import type { Common, TaskSpec } from '../../shared/share.ts';
import type { NodeVariables } from '../../shared/variables.ts';
import { Cancelled } from '../host/cancelled.ts';
import type { Held, Wish, Work, WorkMessage } from '../link/work.ts';
import { readCommon } from './accept.ts';
import type { Blobs } from './blobs.ts';
import { atBegin, mayFinish } from './block.ts';
import type { Digest } from './digest.ts';
import { Inbox } from './inbox.ts';
import type { Journal, Outgoing } from './journal.ts';
import type { ExecutorPorts } from './ports.ts';
import { readsFacts } from './reads-facts.ts';
import type { JournalRecord, NewRecord } from './records.ts';
import { keepsEarlier } from './revision.ts';
import { type Decision, isWaiting, type Phase, type Scheduling, schedule, stepKey } from './schedule.ts';
import { Secrets } from './secrets.ts';
import { type AgentState, applyRecord, type Ending, emptyState, type RunRecord, stateOf } from './state.ts';
import { Step } from './step.ts';
import { folderOf } from './step-context.ts';
import { shareVariables } from './variables.ts';

export interface ExecutorOptions extends ExecutorPorts {
  journal: Journal;
  /** What the journal held when it was opened. */
  records: readonly JournalRecord[];
  blobs: Blobs;
  /** A random one, for the life of the journal that begins. */
  newId: () => string;
}

/** A step that has begun and not ended. */
interface Live {
  run: RunRecord;
  spec: TaskSpec;
  /** A cancel and a later revision let it finish. */
  mayFinish: boolean;
  abort: AbortController;
  /** Set while the step is queued: lets it go on (true) or tells it that it was cancelled. */
  wake?: (go: boolean) => void;
  done: Promise<void>;
}

/** What is made once for each share. */
interface Prepared {
  common: Common;
  variables: NodeVariables;
  /** Steps may start: facts are there, or could not be gathered. */
  ready: boolean;
  facts?: Promise<Facts>;
  /** Tasks that do not stand as an earlier revision ended them. */
  differing: Set<number>;
}

/** The contact is journaled when it has moved by this part of the lease: a restart then costs at most that much of it. */
const CONTACT_PART = 20;

/**
 * Turns shares into work. Its state is what the journal's records make of it; after every change `schedule` says what
 * may start. Everything a step does goes through the journal first, so that a restart goes on where this stopped.
 */
export class Executor implements Work {
  readonly #options: ExecutorOptions;
  readonly #state: AgentState = emptyState();
  readonly #prepared = new Map<string, Prepared>();
  readonly #phases = new Map<string, Phase>();
  readonly #live = new Map<string, Live>();
  readonly #wished = new Set<string>();
  readonly #inbox: Inbox;
  readonly #secrets: Secrets;
  #journaledContact = Number.NEGATIVE_INFINITY;
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
    for (const record of options.records) applyRecord(this.#state, record);
    this.#inbox = new Inbox({
      state: this.#state,
      blobs: options.blobs,
      logger: options.logger,
      record: (record) => this.#record(record),
      isAtWork: (run) => [...this.#live.values()].some((live) => live.run.run === run),
      commonOf: (run) => this.#prepared.get(run)?.common,
      accepted: (run, common) => this.#prepare(run, common),
      cancelled: (run, cancel) => void this.#cancel(run, cancel),
      replaced: (run) => this.#replaced(run),
      forgotten: (run) => this.#forget(run),
      wish: (wish) => this.#onWish(wish),
      changed: () => this.#tick(),
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
    await executor.#sweepActions();
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
    await executor.#sweepOutputs();
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
      .filter((run) => this.#prepared.has(run.run))
      .map(({ run, revision, gates, permits }) => ({ run, revision, gates: [...gates.keys()], permits: [...permits] }));
    const generation = { value, mac: Buffer.from(mac, 'base64') };
    return { journalId: journal.id, lastSequence: journal.lastSequence, generation, runs, blobs: blobs.list(), lives };
  }

  running(): number {
    return this.#live.size;
  }

  /** Name of a step that wants the node for itself and is at work. */
  alone(): string | undefined {
    const found = [...this.#live].find(([key, { spec }]) => spec.alone && this.#phases.get(key) === 'working');
    return found?.[1].spec.name;
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
    const boot = this.#options.bootId;
    const known = this.#state.contact;
    if (known?.boot === boot && known.atMs >= atMs && known.leaseMs === leaseMs) return;
    if (atMs - this.#journaledContact > leaseMs / CONTACT_PART) {
      this.#journaledContact = atMs;
      this.#options.journal.append({ type: 'contact', boot, atMs, leaseMs }, { lazy: true });
    }
    this.#state.contact = { boot, atMs, leaseMs };
    this.#tick();
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
    await Promise.allSettled([...this.#prepared.values()].map((prepared) => prepared.facts));
  }

  /**
   * Starts nothing new until {@link goOn}. Resolves when only commands are at work, or what waits for another try: both
   * go on with the next agent.
   */
  async standStill(): Promise<void> {
    const settled = (): boolean =>
      [...this.#live].every(
        ([key, { spec }]) => runsProgram(spec.action) || this.#phases.get(key) !== 'working' || isWaiting(spec),
      );
    await new Promise<void>((resolve) => {
      this.#onLess = () => {
        if (settled()) resolve();
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
      if (hasBegun && state !== 'begun' && common.tasks[task]?.sensitive)
        await this.#dropOutputs(run, folderOf(run, task));
  }

  #prepare(run: RunRecord, common: Common): void {
    this.#secrets.askAgain(run.run);
    const variables = shareVariables(run, common, (name) => this.#secrets.value(run.run, name));
    const prepared: Prepared = { common, variables, ready: run.facts !== undefined, differing: new Set() };
    this.#prepared.set(run.run, prepared);
    if (!prepared.ready) {
      if (run.share.kind === 'plan' || readsFacts(run.share, common)) void this.#firstFacts(run, prepared);
      else prepared.ready = true;
    }
    for (const [task, step] of run.steps)
      if (step.state === 'begun' && !isBlock(common.tasks[task])) this.#launch(run, task);
    this.#tick();
  }

  async #firstFacts(run: RunRecord, prepared: Prepared): Promise<void> {
    try {
      const facts = await this.#factsOf(prepared);
      if (this.#state.runs.get(run.run) === run) this.#record({ type: 'facts', run: run.run, version: 1, facts });
    } catch (thrown) {
      this.#options.logger.error(
        { run: run.run, report: reportOf(thrown) },
        'the facts of this node could not be gathered',
      );
    }
    prepared.ready = true;
    this.#tick();
  }

  #factsOf(prepared: Prepared): Promise<Facts> {
    prepared.facts ??= this.#options.gatherFacts(this.#options.host);
    return prepared.facts;
  }

  #leaseHolds(run: RunRecord): boolean {
    const { contact } = this.#state;
    if (contact === undefined || contact.boot !== this.#options.bootId) return false;
    const lease = run.leaseMs > 0 ? run.leaseMs : contact.leaseMs;
    return this.#options.clock.bootTimeMs() - contact.atMs <= lease;
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
    return {
      runs: [...this.#state.runs.values()].filter((run) => this.#prepared.has(run.run)),
      specsOf: (run) => this.#prepared.get(run.run)?.common.tasks ?? [],
      isReady: (run) => this.#prepared.get(run.run)?.ready === true && !this.#inbox.isSettling(run),
      leaseHolds: (run) => this.#leaseHolds(run),
      isReplaced: (run) => this.#inbox.isReplaced(run),
      keeps: (run, task) => this.#keeps(run, task),
      hasSecrets: (run, task) => run.share.check === true || this.#secrets.has(run.run, this.#secretsOf(run, task)),
      phases: this.#phases,
    };
  }

  #carryOut(decision: Decision): void {
    const { run } = decision;
    switch (decision.kind) {
      case 'start':
        if (isBlock(this.#prepared.get(run.run)?.common.tasks[decision.task])) this.#beginBlock(run, decision.task);
        else this.#launch(run, decision.task);
        return;
      case 'continue': {
        const key = stepKey(run.run, decision.task);
        this.#phases.set(key, 'working');
        this.#live.get(key)?.wake?.(true);
        return;
      }
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
        this.#secrets.want(run.run, this.#secretsOf(run, decision.task));
        return;
      case 'block': {
        const { tasks, cause, cancelled } = decision;
        const atMs = this.#options.clock.nowMs();
        const keys = tasks.map((task) => this.#keyOf(run, task));
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
    const at = { run: run.run, revision: run.revision, task, key: this.#keyOf(run, task), atMs, durationMs: 0 };
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
    const key = stepKey(run.run, task);
    const abort = new AbortController();
    const { tasks } = prepared.common;
    const live: Live = { run, spec, mayFinish: mayFinish(tasks, task), abort, done: Promise.resolve() };
    this.#phases.set(key, 'working');
    this.#live.set(key, live);
    const step = new Step(
      {
        ...this.#options,
        record: (record) => this.#record(record),
        synced: () => this.#options.journal.synced(),
        turn: (owed = false) => this.#turn(key, live, owed),
        // After close nothing could be written of it.
        mayStart: () => !this.#closed && this.#onLess === undefined && run.held === undefined && this.#leaseHolds(run),
        rest: () => this.#rest(key, live),
        facts: () => this.#factsOf(prepared),
        cancelled: abort.signal,
        digest: this.#digestOf(run),
        secrets: () => this.#secrets.values(),
        haveSecrets: () => this.#haveSecrets(key, live, this.#secretsOf(run, task)),
      },
      run,
      prepared.common,
      prepared.variables,
      task,
      spec,
    );
    live.done = step.work().then(async () => {
      this.#phases.delete(key);
      this.#live.delete(key);
      this.#inbox.stepEnded();
      if (this.#secrets.holds(run.run)) this.#dropSecrets(run);
      this.#tick();
      if (spec.sensitive) await this.#dropOutputs(run, folderOf(run, task));
    });
    // What was cancelled before a restart still is.
    const isOwed = blocksAround(tasks, task).some(({ part }) => part === 'always');
    if (run.cancel !== undefined && !isOwed && isCancelled(run.cancel, live))
      abort.abort(new Cancelled(run.cancel.graceMs));
  }

  #secretsOf(run: RunRecord, task: number): readonly string[] {
    return this.#prepared.get(run.run)?.common.tasks[task]?.secrets ?? [];
  }

  #wantsSecret(id: string, name: string): boolean {
    const run = this.#state.runs.get(id);
    return (
      run?.share.tasks.some((task) => this.#secretsOf(run, task).includes(name) && !hasEnded(stateOf(run, task))) ===
      true
    );
  }

  /** When nothing is left to do, nobody needs them any more. */
  #dropSecrets(run: RunRecord): void {
    if (run.share.tasks.every((task) => hasEnded(stateOf(run, task)))) this.#secrets.forget(run.run);
  }

  /** Secrets count by their names (ENGINE 3.4). */
  #digestOf(run: RunRecord): Digest {
    const { id } = this.#options.journal;
    return (text) => createHmac('sha256', id).update(this.#secrets.named(run.run, text)).digest('hex');
  }

  /** Of a step that a restart cut short. A cancel does not end the wait: what the step has begun can only be ended with it. */
  async #haveSecrets(key: string, live: Live, names: readonly string[]): Promise<boolean> {
    const { run } = live.run;
    if (live.run.share.check === true || this.#secrets.has(run, names)) return true;
    this.#rest(key, live);
    return (await this.#secrets.ready(run, names)) && (await this.#turn(key, live, true));
  }

  #keyOf(run: RunRecord, task: number): string {
    return this.#prepared.get(run.run)?.common.tasks[task]?.key ?? '';
  }

  /** Does what the step did in an earlier revision stand? If not it waits for its slot, and is asked once. */
  #keeps(run: RunRecord, task: number): boolean {
    const prepared = this.#prepared.get(run.run);
    const spec = prepared?.common.tasks[task];
    if (prepared === undefined || spec === undefined || prepared.differing.has(task)) return false;
    const { common, variables } = prepared;
    const keeps = keepsEarlier({ run, common, variables, task, spec, digest: this.#digestOf(run) });
    if (!keeps) prepared.differing.add(task);
    return keeps;
  }

  #turn(key: string, live: Live, owed: boolean): Promise<boolean> {
    if (!owed && (live.abort.signal.aborted || this.#mustGiveWay(live))) return Promise.resolve(false);
    this.#phases.set(key, 'queued');
    return new Promise((resolve) => {
      const settle = (go: boolean): void => {
        delete live.wake;
        live.abort.signal.removeEventListener('abort', refuse);
        resolve(go);
      };
      const refuse = (): void => settle(false);
      live.wake = settle;
      if (!owed) live.abort.signal.addEventListener('abort', refuse);
      this.#tick();
    });
  }

  #rest(key: string, live: Live): void {
    this.#phases.set(key, 'resting');
    if (this.#mustGiveWay(live)) live.abort.abort();
    this.#tick();
  }

  /** A later revision waits for this step: it begins no item or attempt more, unless it holds a permit. */
  #mustGiveWay({ run, mayFinish }: Live): boolean {
    return this.#inbox.isReplaced(run) && !mayFinish;
  }

  /** What waits gives way to the later revision at once; what is at work finishes its item or attempt. */
  #replaced(run: RunRecord): void {
    for (const [key, live] of this.#live) {
      const waits = this.#phases.get(key) !== 'working' || isWaiting(live.spec);
      if (live.run === run && waits && this.#mustGiveWay(live)) live.abort.abort();
    }
  }

  /** What is at work hears of it when the cancel is on disk: after a power cut nobody could tell why it had been ended. */
  async #cancel(run: RunRecord, cancel: { graceMs: number; force: boolean }): Promise<void> {
    // What begins from now on may do so: the always of a block.
    const atWork = [...this.#live.values()].filter((live) => live.run === run);
    await this.#options.journal.settled();
    for (const live of atWork) if (isCancelled(cancel, live)) live.abort.abort(new Cancelled(cancel.graceMs));
  }

  #forget(run: RunRecord): void {
    const live = [...this.#live.values()].filter((one) => one.run === run);
    for (const one of live) {
      one.abort.abort();
      // What is owed does not heed that.
      one.wake?.(false);
    }
    this.#prepared.delete(run.run);
    this.#secrets.forget(run.run);
    // Step outputs are only removed when nothing writes there any more.
    void Promise.all(live.map((one) => one.done)).then(() => this.#dropOutputs(run));
  }

  /** Outputs of runs that nobody knows any more: the agent was killed before it could remove them. */
  async #sweepOutputs(): Promise<void> {
    const { host, runsFolder, logger } = this.#options;
    try {
      for (const run of await host.files.list(runsFolder))
        if (!this.#state.runs.has(run)) await host.files.remove(join(runsFolder, run));
    } catch (thrown) {
      logger.warn({ report: reportOf(thrown) }, 'outputs of earlier runs could not be removed');
    }
  }

  /** What is left of an attempt that an earlier life of the agent could not clean up after: its step has ended by now. */
  async #sweepActions(): Promise<void> {
    const { host, runsFolder, logger, sweep } = this.#options;
    try {
      const begun = [...this.#state.runs.values()].flatMap((run) =>
        [...run.steps].flatMap(([task, { state }]) =>
          state === 'begun' ? [join(runsFolder, run.run, folderOf(run, task))] : [],
        ),
      );
      const attempts = begun.map(async (step) => (await host.files.list(step)).map((name) => join(step, name)));
      await sweep((await Promise.all(attempts)).flat());
    } catch (thrown) {
      logger.warn({ report: reportOf(thrown) }, 'what earlier attempts left could not be removed');
    }
  }

  /** Of the whole run, or of one of its steps; what they mean is in the journal by then. */
  async #dropOutputs({ run }: RunRecord, step = ''): Promise<void> {
    try {
      await this.#options.journal.synced();
      await this.#options.host.files.remove(join(this.#options.runsFolder, run, step));
    } catch (thrown) {
      this.#options.logger.warn({ run, report: reportOf(thrown) }, 'the outputs of a run could not be removed');
    }
  }
}

/** A forced cancel ends all that is at work. */
function isCancelled(cancel: { force: boolean }, live: Live): boolean {
  return !live.mayFinish || cancel.force;
}
