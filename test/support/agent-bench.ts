/**
 * An executor on a bench: real journal, scheduler and steps in a temp folder; the clock is driven by hand and `command`
 * does what the test says. What the agent would send is read back from the journal's outbox.
 */
import { mkdtempSync, readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import type { ActionExecutor } from '../../agent/actions/executor.ts';
import { commandFailure, createExecutors, createResourceKinds } from '../../agent/actions/index.ts';
import { sweepScripts } from '../../agent/actions/script.ts';
import { type Disk, type DurableFile, disk } from '../../agent/durable/disk.ts';
import { BlobFolder, sha256 } from '../../agent/executor/blobs.ts';
import { Executor } from '../../agent/executor/executor.ts';
import { scanFrames } from '../../agent/executor/frames.ts';
import { Journal } from '../../agent/executor/journal.ts';
import type { Clock } from '../../agent/executor/ports.ts';
import { isSent, type JournalRecord, messageOf } from '../../agent/executor/records.ts';
import { hostFiles } from '../../agent/host/files.ts';
import type { Host } from '../../agent/host/host.ts';
import type { Wish, WorkMessage } from '../../agent/link/work.ts';
import { UndoStore } from '../../agent/undo/store.ts';
import type { ActionInput, ActionOutput } from '../../shared/actions/index.ts';
import { KkError } from '../../shared/errors.ts';
import { bytesJson, jsonBytes } from '../../shared/protocol/codec.ts';
import type { DurableMessage, LogChunk } from '../../shared/protocol/messages.ts';
import type { Common, Share, StepResult, TaskSpec } from '../../shared/share.ts';

/** A clock that stands until it is told to go on. */
export class HandClock implements Clock {
  #now = 1_000_000;
  #timers: { at: number; then: () => void }[] = [];

  bootTimeMs(): number {
    return this.#now;
  }

  nowMs(): number {
    return 1_700_000_000_000 + this.#now;
  }

  after(ms: number, then: () => void): () => void {
    const timer = { at: this.#now + ms, then };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  }

  /** Goes on by `ms`; timers that fall due ring in order. */
  advance(ms: number): void {
    const until = this.#now + ms;
    for (;;) {
      const [next] = this.#timers.filter((timer) => timer.at <= until).sort((a, b) => a.at - b.at);
      if (next === undefined) break;
      this.#timers = this.#timers.filter((timer) => timer !== next);
      this.#now = next.at;
      next.then();
    }
    this.#now = until;
  }
}

export type TaskWish = Partial<Omit<TaskSpec, 'when' | 'until' | 'failedWhen' | 'changedWhen' | 'register'>> & {
  when?: string;
  until?: string;
  failedWhen?: string;
  changedWhen?: string;
  register?: string | TaskSpec['register'];
  /** The text of a command: what the bench's `commands` are asked for. */
  run?: string;
};

const at = (text: string | undefined) => (text === undefined ? [] : [{ text, at: [7, 3] as [number, number] }]);

/** A task spec with everything that the test does not care about. */
export function task(name: string, wish: TaskWish = {}): TaskSpec {
  const { when, until, failedWhen, changedWhen, register, run, ...rest } = wish;
  const [untilText] = at(until);
  return {
    key: `0/role/${name}`,
    name,
    play: 0,
    role: 'role',
    file: 'role/tasks.yaml',
    at: [5, 1],
    action: 'command',
    inputs: { shell: run ?? name },
    places: {},
    needs: [],
    when: at(when),
    reads: [],
    retries: 0,
    delay: 0,
    timeout: 0,
    failedWhen: at(failedWhen),
    changedWhen: at(changedWhen),
    vars: {},
    ignoreErrors: false,
    alone: false,
    sensitive: false,
    onInterrupt: 'fail',
    ...(untilText === undefined ? {} : { until: untilText }),
    ...(register === undefined
      ? {}
      : {
          register: typeof register === 'string' ? { name: register, type: 'any' as const, exported: false } : register,
        }),
    ...rest,
  };
}

/** Tasks that follow each other. */
export function chain(tasks: TaskSpec[]): TaskSpec[] {
  return tasks.map((spec, index) => (index === 0 ? spec : { ...spec, needs: [...spec.needs, { task: index - 1 }] }));
}

export interface CommandAnswer {
  code?: number;
  stdout?: string;
}

const text = (value: string) => ({ head: value, tail: '', bytes: Buffer.byteLength(value) });

/** The node's commands: each call is noted; those in `held` wait until they are released. */
export class Commands {
  readonly calls: string[] = [];
  /** Folders of calls that were told to recover. */
  readonly recovered: string[] = [];
  readonly answers = new Map<string, CommandAnswer | ((call: number) => CommandAnswer)>();
  /** Commands whose `creates` is there. */
  readonly done = new Set<string>();
  /** What a recovering agent finds; default: gone. */
  found: 'lost' | 'never-started' | CommandAnswer = 'lost';
  /** A command at work takes its time to end after a cancel. */
  deaf = false;
  readonly #held = new Map<string, (answer: CommandAnswer) => void>();
  readonly #holding = new Set<string>();

  hold(...names: string[]): void {
    for (const name of names) this.#holding.add(name);
  }

  release(name: string, answer: CommandAnswer = {}): void {
    const settle = this.#held.get(name);
    if (settle === undefined) throw new Error(`${name} is not at work: ${[...this.#held.keys()].join(', ')}`);
    this.#held.delete(name);
    this.#holding.delete(name);
    settle(answer);
  }

  /** Names of the commands at work. */
  get working(): string[] {
    return [...this.#held.keys()].sort();
  }

  readonly executor: ActionExecutor<'command'> = {
    inspect: async ({ shell = '' }) => {
      const stream = text('');
      if (!this.done.has(shell)) return { already: false };
      return { already: true, output: { stdout: stream, stderr: stream, duration_ms: 0, started: false } };
    },
    apply: async (input: ActionInput<'command'>, context) => {
      const name = input.shell ?? '';
      const output = (answer: CommandAnswer, signal?: string): { output: ActionOutput<'command'> } => ({
        output: {
          ...(signal === undefined ? { code: answer.code ?? 0 } : { signal }),
          stdout: text(answer.stdout ?? ''),
          stderr: text(''),
          duration_ms: 1,
          started: true,
        },
      });
      if (context.recovering !== undefined) {
        this.recovered.push(name);
        if (typeof this.found === 'object') return output(this.found);
        if (this.found === 'lost') {
          throw new KkError({ code: 'INTERRUPTED', message: 'gone with the node', remedy: 'look' });
        }
      }
      this.calls.push(name);
      if (this.#holding.has(name)) {
        return new Promise((resolve) => {
          this.#held.set(name, (answer) => resolve(output(answer)));
          context.signal.addEventListener('abort', () => {
            if (this.deaf) return;
            this.#held.delete(name);
            resolve(output({}, 'SIGTERM'));
          });
        });
      }
      const known = this.answers.get(name);
      const count = this.calls.filter((call) => call === name).length;
      return output(typeof known === 'function' ? known(count) : (known ?? {}));
    },
  };
}

export interface BenchOptions {
  /** What the controller gives for a secret; default: it is away. */
  secret?: (run: string, name: string) => Promise<string>;
  folder?: string;
  clock?: HandClock;
  commands?: Commands;
  bootId?: string;
  /** The journal's disk. */
  disk?: Disk;
  /** Other hands than the real files. */
  host?: Partial<Host>;
  /** The test provokes an error that is logged. */
  tolerant?: boolean;
}

/** What benches leave, for a crash closes nothing: cleared away when the file's tests have ended. */
const leftovers = { folders: new Set<string>(), files: new Set<DurableFile>() };
t.teardown(async () => {
  for (const file of leftovers.files) await file.close().catch(() => {});
  for (const folder of leftovers.folders) await rm(folder, { recursive: true, force: true });
});

/** The same disk, with its files kept to be closed at the end. */
function held(inner: Disk): Disk {
  return {
    ...inner,
    async open(path, point) {
      const opened = await inner.open(path, point);
      leftovers.files.add(opened.file);
      return opened;
    },
  };
}

const logger = {
  debug: () => {},
  info: () => {},
  warn: () => {},
  // No test provokes one of these: it is a defect.
  error: (fields: object, text: string) => {
    throw new Error(`${text} ${JSON.stringify(fields)}`);
  },
};

/** Is the disk at work, or a program that was asked (an account is looked up by getent)? */
function isBusy(): boolean {
  return process.getActiveResourcesInfo().some((what) => /^(FSReq|ProcessWrap)/.test(what));
}

export class Bench {
  readonly folder: string;
  readonly clock: HandClock;
  readonly commands: Commands;
  readonly wishes: Wish[] = [];
  readonly logs: LogChunk[] = [];
  readonly journal: Journal;
  readonly executor: Executor;

  private constructor(
    folder: string,
    clock: HandClock,
    commands: Commands,
    journal: Journal,
    executor: Executor,
    logs: LogChunk[],
  ) {
    this.folder = folder;
    this.clock = clock;
    this.commands = commands;
    this.journal = journal;
    this.executor = executor;
    this.logs = logs;
    executor.onWish((wish) => this.wishes.push(wish));
  }

  static async open(options: BenchOptions = {}): Promise<Bench> {
    const folder = options.folder ?? mkdtempSync(join(tmpdir(), 'kk-bench-'));
    leftovers.folders.add(folder);
    const clock = options.clock ?? new HandClock();
    const commands = options.commands ?? new Commands();
    const times = { bootTimeMs: () => clock.bootTimeMs(), nowMs: () => clock.nowMs() };
    const host = { files: hostFiles, ...times, ...options.host } as Host;
    const { journal, records } = await Journal.open({
      path: join(folder, 'journal.log'),
      disk: held(options.disk ?? disk),
      newId: () => 'journal-1',
      pause: () => Promise.resolve(),
      onTrouble: () => {},
      onFatal: (error) => {
        throw error;
      },
    });
    const facts = { hostname: 'n1', cpu: { count: 4, model: 'x' }, memory: { total: 8, available: 4 } } as never;
    const gather = { facts: async () => facts, forRule: async () => ({ facts: null }) };
    const logs: LogChunk[] = [];
    const undo = new UndoStore({ folder: join(folder, 'undo'), kinds: createResourceKinds(folder), host });
    const executor = await Executor.start({
      journal,
      records,
      newId: () => 'life',
      blobs: await BlobFolder.open(join(folder, 'blobs'), disk),
      host,
      clock,
      actions: {
        ...createExecutors({ stateFolder: folder, scripts: join(folder, 'scripts'), undo, files: {} as never, gather }),
        command: commands.executor,
      },
      commandFailure,
      remember: (...change) => undo.remember(...change),
      secret: options.secret ?? (() => Promise.reject(new Error('nobody answers'))),
      gatherFacts: gather.facts,
      bootId: options.bootId ?? 'boot-1',
      runsFolder: join(folder, 'runs'),
      sweep: (inUse) => sweepScripts(hostFiles, join(folder, 'scripts'), inUse),
      onLog: (chunk) => logs.push(chunk),
      logger: options.tolerant === true ? { ...logger, error: () => {} } : logger,
    });
    return new Bench(folder, clock, commands, journal, executor, logs);
  }

  /** The controller answers a heartbeat: the lease of an hour begins. */
  lease(ms = 3_600_000): void {
    this.executor.contact(this.clock.bootTimeMs(), ms);
  }

  handle(message: WorkMessage): void {
    this.executor.handle(message);
  }

  push(
    tasks: TaskSpec[],
    more: { run?: string; revision?: number; share?: Partial<Share>; common?: Partial<Common> } = {},
  ): void {
    const { share, common } = documents(tasks, more);
    const { run = 'r1', revision = 1 } = more;
    this.handle({
      kind: 'push',
      value: { run, revision, share, share_sha256: '', common_sha256: sha256(common), common, lease_ms: 0 },
    });
  }

  open(gate: string, value?: unknown): void {
    const values = value === undefined ? new Uint8Array() : jsonBytes(value);
    this.handle({ kind: 'open_gate', value: { run: 'r1', revision: 1, gate, values } });
  }

  closeGate(gate: string, cause: string): void {
    this.handle({ kind: 'close_gate', value: { run: 'r1', revision: 1, gate, cause } });
  }

  /** Lets everything happen that can happen without the clock or a held command. */
  async settle(): Promise<void> {
    for (let quiet = 0, seen = ''; quiet < 8; quiet += 1) {
      await this.executor.idle();
      await new Promise((resolve) => setImmediate(resolve));
      await this.journal.synced();
      const now = `${this.journal.lastSequence} ${this.commands.calls.length} ${this.wishes.length}`;
      if (now !== seen || isBusy()) quiet = 0;
      seen = now;
    }
  }

  messages(): DurableMessage[] {
    const { records } = scanFrames(readFileSync(join(this.folder, 'journal.log')));
    const waiting = new Set(this.journal.outgoing().map(({ sequence }) => sequence));
    return (records as JournalRecord[]).flatMap((one) =>
      isSent(one) && waiting.has(one.sequence) ? [messageOf(one)] : [],
    );
  }

  /** `ended` by task index. */
  ended(): Map<number, { outcome: string; result: StepResult }> {
    return new Map(
      this.messages().flatMap((message) =>
        message.kind === 'ended'
          ? [
              [
                message.value.task,
                { outcome: message.value.outcome, result: bytesJson(message.value.result) as StepResult },
              ] as const,
            ]
          : [],
      ),
    );
  }

  /** The outcome of each ended task, in words. */
  outcomes(): Record<number, string> {
    return Object.fromEntries(
      [...this.ended()].map(([index, { outcome }]) => [index, outcome.slice('OUTCOME_'.length).toLowerCase()]),
    );
  }

  blocked(): { tasks: number[]; cause: string; cancelled: boolean }[] {
    return this.messages().flatMap((message) =>
      message.kind === 'blocked'
        ? [{ tasks: message.value.tasks, cause: message.value.cause, cancelled: message.value.cancelled }]
        : [],
    );
  }

  /** The agent dies here; the answer is the next one over the same journal. */
  async restart(options: BenchOptions = {}): Promise<Bench> {
    await this.journal.synced();
    this.executor.close();
    await this.journal.close();
    return Bench.open({ folder: this.folder, clock: this.clock, commands: this.commands, ...options });
  }
}

/** The two documents of a push. */
export function documents(
  tasks: TaskSpec[],
  more: { share?: Partial<Share>; common?: Partial<Common> } = {},
): { share: Uint8Array; common: Uint8Array } {
  const share: Share = {
    format: 1,
    node: 'n1',
    kind: 'plan',
    tasks: tasks.map((_, index) => index),
    hostVars: {},
    batches: {},
    ...more.share,
  };
  const common: Common = {
    format: 1,
    tasks,
    roleDefaults: {},
    inventoryVars: {},
    groups: {},
    nodes: { n1: { address: '10.0.0.1', groups: [] } },
    planVars: {},
    runVars: {},
    files: {},
    ...more.common,
  };
  return { share: jsonBytes(share), common: jsonBytes(common) };
}
