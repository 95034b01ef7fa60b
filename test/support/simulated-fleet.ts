/**
 * A fleet in memory for tests of the runner: agents with the real scheduler and the real journal records of kk-agent, whose
 * steps do nothing but end as the test says; and a log that keeps events in an array.
 */
import type { JournalRecord, NewRecord } from '../../agent/executor/records.ts';
import { isSent, messageOf } from '../../agent/executor/records.ts';
import { type Phase, schedule, stepKey } from '../../agent/executor/schedule.ts';
import {
  type AgentState,
  applyRecord,
  type Ending,
  emptyState,
  type RunRecord as HeldRun,
  stateOf,
} from '../../agent/executor/state.ts';
import type { RunEvent } from '../../controller/run/events.ts';
import type { AppendBatch, Clock, Dispatcher, EventLog, LoggedRun, RunRecord } from '../../controller/run/ports.ts';
import type { Runner } from '../../controller/run/runner.ts';
import { runHasEnded } from '../../shared/lifecycle.ts';
import { bytesJson } from '../../shared/protocol/codec.ts';
import type { DurableMessage, ForAgent, Hello, WireOutcome } from '../../shared/protocol/messages.ts';
import type { Common, Json, Share, StepResult } from '../../shared/share.ts';

export class HandClock implements Clock {
  ms = 1_000_000;
  nowMs = (): number => this.ms;
  monotonicMs = (): number => this.ms;
}

/** Keeps what a real log keeps, and refuses what it refuses. */
export class MemoryLog implements EventLog {
  readonly runs = new Map<string, { record: RunRecord; graphJson: string; events: RunEvent[] }>();
  readonly cursors = new Map<string, AppendBatch['cursors'][number]>();
  /** node -> the plan run that was started there last. */
  readonly plans = new Map<string, string>();
  /** What every append throws. */
  failure: unknown;

  async createRun(record: RunRecord, graphJson: string): Promise<void> {
    this.runs.set(record.id, { record: { ...record }, graphJson, events: [] });
  }

  async append({ runs, cursors }: AppendBatch): Promise<void> {
    await Promise.resolve();
    if (this.failure !== undefined) throw this.failure;
    for (const { run, firstSequence } of runs)
      if (this.runs.get(run)?.events.length !== firstSequence - 1) throw new Error(`${run}: not the next event`);
    for (const { run, events, graphs = [], takes = [] } of runs) {
      const kept = this.runs.get(run);
      for (const node of takes) this.plans.set(node, run);
      const graph = graphs.at(-1);
      if (kept && graph) kept.graphJson = graph.graphJson;
      for (const event of events) {
        // What is stored is a copy, as it would be read again.
        kept?.events.push(JSON.parse(JSON.stringify(event)) as RunEvent);
        if (kept) Object.assign(kept.record, recordedBy(event));
      }
    }
    for (const cursor of cursors) this.cursors.set(cursor.node, cursor);
  }

  async activeRuns(): Promise<{ record: RunRecord; graphJson: string }[]> {
    const active = [...this.runs.values()].filter(({ record }) => !runHasEnded(record.status));
    return active.map(({ record, graphJson }) => ({ record: { ...record }, graphJson }));
  }

  async find(id: string): Promise<LoggedRun | undefined> {
    const kept = this.runs.get(id);
    return kept && { record: { ...kept.record }, graphJson: kept.graphJson };
  }

  async lastPlans(): Promise<{ node: string; run: string; status: RunRecord['status'] }[]> {
    return [...this.plans].map(([node, run]) => ({ node, run, status: this.runs.get(run)?.record.status ?? 'done' }));
  }

  async events(run: string): Promise<RunEvent[]> {
    return [...(this.runs.get(run)?.events ?? [])];
  }
}

/** What a real log writes into the row of the run. */
export function recordedBy(event: RunEvent): Partial<RunRecord> {
  if (event.kind === 'finished') return { status: event.status, endedMs: event.at };
  if (event.kind === 'revised') return { status: 'queued', endedMs: undefined, revision: event.revision };
  if (event.kind === 'paused') return { status: 'paused' };
  return event.kind === 'started' || event.kind === 'unpaused' ? { status: 'running' } : {};
}

/** Something an agent could do next. */
export type Move = { kind: 'end' | 'start' | 'block'; label: string; run: (outcome: WireOutcome) => void };

export class SimulatedAgent {
  readonly name: string;
  /** Messages of the controller that have arrived and were not dealt with. */
  inbox: ForAgent[] = [];
  connected = false;
  /** Called before a step begins, with its task. */
  onBegin: (run: string, task: number, revision: number) => void = () => {};
  resultOf: (task: number) => StepResult = () => ({ changed: true });
  /** Pushes that came, frames in all. */
  pushes = 0;
  acked = 0;
  journal = 'j1';
  private state: AgentState = emptyState();
  private readonly commons = new Map<string, Common>();
  private readonly phases = new Map<string, Phase>();
  private readonly wished = new Set<string>();
  /** A later revision that waits for the steps of the one before to end, and what came after it. */
  private readonly waiting = new Map<string, ForAgent[]>();
  private sent: { sequence: number; message: DurableMessage }[] = [];
  private sequence = 0;

  constructor(name: string) {
    this.name = name;
  }

  hello(): Hello {
    return {
      ...{ level: 1, capabilities: [], version: '0', machine_id: 'm', boot_id: 'b', journal_id: this.journal },
      ...{ last_sequence: this.sequence, generation: { value: 0, mac: new Uint8Array() }, purpose: 'PURPOSE_WORK' },
      ...{ now_ms: 0, arch: 'x64', blobs: [], lives: [] },
      runs: [...this.state.runs.values()].map(({ run, revision, gates, permits }) => ({
        ...{ run, revision },
        gates: [...gates.keys()],
        permits: [...permits],
      })),
    };
  }

  /** Durable messages that were not acknowledged. */
  unacked(): { sequence: number; message: DurableMessage }[] {
    this.sent = this.sent.filter(({ sequence }) => sequence > this.acked);
    return [...this.sent];
  }

  /** Names of the runs it holds. */
  get held(): string[] {
    return [...this.state.runs.keys()];
  }

  forgetWishes(): void {
    this.wished.clear();
  }

  /** Deals with the oldest message of the controller, as agent/executor/inbox.ts does. */
  take(): void {
    const message = this.inbox.shift();
    if (!message) return;
    const run = 'run' in message.value ? message.value.run : '';
    const waiting = this.waiting.get(run);
    if (waiting && message.kind !== 'push') waiting.push(message);
    if (waiting && 'revision' in message.value) return;
    this.deal(message, run);
  }

  private deal(message: ForAgent, run: string): void {
    const known = this.state.runs.get(run);
    // Of another revision than the one it has.
    const isPast = 'revision' in message.value && message.value.revision !== known?.revision;
    switch (message.kind) {
      case 'push': {
        const { revision } = message.value;
        this.pushes += 1;
        if (known && known.revision >= revision) return;
        if (this.isAtWork(run)) {
          this.waiting.set(run, [message]);
          return;
        }
        this.commons.set(run, bytesJson(message.value.common) as Common);
        this.forgetWishes();
        const share = bytesJson(message.value.share) as Share;
        this.record({ type: 'push', run, revision, share, common: '', leaseMs: 0 });
        this.record({ type: 'accepted', run, revision });
        return;
      }
      case 'open_gate': {
        const { gate, values, revision } = message.value;
        const value = values.length === 0 ? null : (bytesJson(values) as Json);
        if (!isPast && known && !known.gates.has(gate))
          this.record({ type: 'gate', run, revision, gate, values: value });
        return;
      }
      case 'close_gate': {
        const { gate, cause, revision } = message.value;
        if (!isPast && known && !known.gates.has(gate))
          this.record({ type: 'gate-closed', run, revision, gate, cause });
        return;
      }
      case 'permit':
        if (!isPast) this.record({ type: 'permit', ...message.value });
        return;
      case 'hold':
        if (known) this.record({ type: 'hold', run, reason: message.value.reason });
        return;
      case 'resume':
        if (known) this.record({ type: 'resume', run });
        return;
      case 'cancel':
        if (known) this.record({ type: 'cancel', run, graceMs: 0 });
        return;
      case 'forget':
        this.waiting.delete(run);
        this.record({ type: 'forget', run });
        for (const key of [...this.phases.keys()]) if (key.startsWith(`${run}/`)) this.phases.delete(key);
        return;
    }
  }

  /** What it could do now; `wish`: asks for a permit. */
  moves(wish: (run: string, revision: number, task: number) => void): Move[] {
    const runs = [...this.state.runs.values()];
    const moves: Move[] = [];
    for (const run of runs) {
      for (const task of run.share.tasks) {
        const key = stepKey(run.run, task);
        if (this.phases.has(key))
          moves.push({ kind: 'end', label: key, run: (outcome) => this.end(run, task, outcome) });
      }
    }
    const decisions = schedule({
      runs,
      specsOf: (run) => this.commons.get(run.run)?.tasks ?? [],
      isReady: () => true,
      leaseHolds: () => true,
      isReplaced: ({ run }) => this.waiting.has(run),
      keeps: (run, task) => this.endBefore(run, task) !== undefined,
      hasSecrets: () => true,
      phases: this.phases,
    });
    for (const decision of decisions) {
      const { run, revision } = decision.run;
      const keyOf = (task: number): string => this.commons.get(run)?.tasks[task]?.key ?? '';
      if (decision.kind === 'end') {
        const { task, ending } = decision;
        const head = { type: 'ended', run, revision, task, atMs: 0, durationMs: 0, key: keyOf(task) } as const;
        moves.push({ kind: 'end', label: stepKey(run, task), run: () => this.record({ ...head, ...ending }) });
      } else if (decision.kind === 'block') {
        const { tasks, cause, cancelled } = decision;
        const keys = tasks.map(keyOf);
        const record: NewRecord = { type: 'blocked', run, revision, tasks, cause, cancelled, atMs: 0, keys };
        moves.push({ kind: 'block', label: `${run} ${tasks}`, run: () => this.record(record) });
      } else if (decision.kind === 'want-permit') {
        const key = stepKey(run, decision.task);
        if (!this.wished.has(key)) wish(run, revision, decision.task);
        this.wished.add(key);
      } else if (decision.kind === 'start') {
        const { task } = decision;
        moves.push({ kind: 'start', label: stepKey(run, task), run: () => this.begin(decision.run, task) });
      }
    }
    return moves;
  }

  /** Sends any message: for what a broken agent might say. */
  say(message: DurableMessage): number {
    this.sequence += 1;
    this.sent.push({ sequence: this.sequence, message });
    return this.sequence;
  }

  private isAtWork(run: string): boolean {
    return [...this.phases.keys()].some((key) => key.startsWith(`${run}/`));
  }

  /** How the step ended well in an earlier revision: its inputs are taken to be the same. */
  private endBefore(run: HeldRun, task: number): Ending | undefined {
    if (run.share.revised === undefined || run.share.revised.rerun.includes(task)) return undefined;
    return run.earlier.get(this.commons.get(run.run)?.tasks[task]?.key ?? '')?.done;
  }

  private begin(held: HeldRun, task: number): void {
    const { run, revision } = held;
    const before = this.endBefore(held, task);
    if (before) {
      const head = { type: 'ended', run, revision, task, atMs: 0, durationMs: 0 } as const;
      const key = this.commons.get(run)?.tasks[task]?.key ?? '';
      this.record({ ...head, ...before, key, result: { ...before.result, kept: true } });
      return;
    }
    this.onBegin(run, task, revision);
    this.phases.set(stepKey(run, task), 'working');
    this.record({ type: 'begun', run, revision, task, atMs: 0, boot: 'b' });
  }

  private end(run: HeldRun, task: number, wanted: WireOutcome): void {
    this.phases.delete(stepKey(run.run, task));
    const outcome = run.cancel ? 'OUTCOME_CANCELLED' : wanted;
    const error = { code: 'EXIT', message: 'exit code 1', remedy: 'Look.' };
    const result = { ...this.resultOf(task), ...(outcome === 'OUTCOME_FAILED' ? { error, changed: false } : {}) };
    const key = this.commons.get(run.run)?.tasks[task]?.key ?? '';
    const head = { type: 'ended', run: run.run, revision: run.revision, task, atMs: 0, durationMs: 1, key } as const;
    if (stateOf(run, task) === 'begun') this.record({ ...head, outcome, result, bindings: {} });
    const waiting = this.waiting.get(run.run);
    if (!waiting || this.isAtWork(run.run)) return;
    this.waiting.delete(run.run);
    for (const message of waiting) this.deal(message, run.run);
  }

  private record(record: NewRecord): void {
    if (isSent(record as JournalRecord)) {
      const sent = record as Parameters<typeof messageOf>[0];
      applyRecord(this.state, { ...sent, sequence: this.say(messageOf(sent)) });
    } else applyRecord(this.state, record as JournalRecord);
  }
}

/** The agents by name, and the way to them. */
export class SimulatedFleet implements Dispatcher {
  readonly agents: Map<string, SimulatedAgent>;
  readonly frames: { to: string; message: ForAgent }[] = [];
  readonly answeredMs = new Map<string, number>();
  /** Errors that closed a connection, by node. */
  readonly refused = new Map<string, unknown>();
  private readonly clock: Clock;

  constructor(names: readonly string[], clock: Clock) {
    this.clock = clock;
    this.agents = new Map(names.map((name) => [name, new SimulatedAgent(name)]));
  }

  agent(name: string): SimulatedAgent {
    const agent = this.agents.get(name);
    if (!agent) throw new Error(`no agent ${name}`);
    return agent;
  }

  isConnected(node: string): boolean {
    return this.agents.get(node)?.connected ?? false;
  }

  send(nodes: readonly string[], message: ForAgent): void {
    for (const node of nodes) {
      if (!this.isConnected(node)) continue;
      this.frames.push({ to: node, message });
      this.agent(node).inbox.push(message);
    }
  }

  ack(node: string, journal: string, sequence: number): void {
    const agent = this.agents.get(node);
    if (agent?.journal === journal) agent.acked = Math.max(agent.acked, sequence);
  }

  silentFor(node: string): number | undefined {
    const at = this.answeredMs.get(node);
    return at === undefined ? undefined : this.clock.monotonicMs() - at;
  }

  connect(runner: Runner, name: string): void {
    const agent = this.agent(name);
    agent.connected = true;
    agent.inbox = [];
    agent.forgetWishes();
    this.answeredMs.set(name, this.clock.monotonicMs());
    runner.connected(name, agent.hello());
  }

  disconnect(name: string): void {
    const agent = this.agent(name);
    agent.connected = false;
    agent.inbox = [];
  }

  /** Sends everything that is not acknowledged, whether or not it was sent before. */
  deliver(runner: Runner, name: string): void {
    const agent = this.agent(name);
    if (!agent.connected) return;
    for (const { sequence, message } of agent.unacked())
      runner.receive(name, agent.journal, sequence, message, (error) => {
        this.refused.set(name, error);
        this.disconnect(name);
      });
  }

  /** Lets everybody work until nothing moves; steps end as `outcomeOf` says. */
  async settle(
    runner: Runner,
    outcomeOf: (node: string, label: string) => WireOutcome = () => 'OUTCOME_OK',
  ): Promise<void> {
    for (let moved = true; moved; ) {
      moved = false;
      await runner.idle();
      for (const agent of this.agents.values()) {
        if (!agent.connected) continue;
        while (agent.inbox.length > 0) {
          agent.take();
          moved = true;
        }
        const [move] = agent.moves((...wish) => runner.permitWanted(agent.name, ...wish));
        move?.run(outcomeOf(agent.name, move.label));
        if (move || agent.unacked().length > 0) moved = true;
        this.deliver(runner, agent.name);
      }
      await runner.idle();
    }
  }
}
