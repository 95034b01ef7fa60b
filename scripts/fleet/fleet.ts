/** A fleet of simulated machines with real agents, spread over a few processes. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type ErrorReport, KkError } from '../../shared/errors.ts';
import type { Work } from './behaviour.ts';
import { LedgerReader } from './ledger.ts';
import { type Answer, type Ask, type Crew, ledgerPath, type News, type Usage } from './talk.ts';

export interface FleetOptions {
  /** For the machines' state; what an earlier fleet of the same names left there is taken up. */
  folder: string;
  agents: number;
  /** Default: one for each 250 agents. */
  processes?: number;
  seed: number;
  /** Of commands that say nothing themselves (behaviour.ts). */
  work: Work;
  endpoint: string;
  /** A join token with as many uses as there are agents. */
  token: string;
}

/** Enrolments under way at once in a process. */
const AT_ONCE = 8;
const AGENTS_OF_PROCESS = 250;

/** Names of `count` machines: m0001, m0002, … */
export function namesOf(count: number): string[] {
  return Array.from({ length: count }, (_, i) => `m${String(i + 1).padStart(4, '0')}`);
}

export class Fleet {
  readonly names: readonly string[];
  /** Agents that could not go on; empty as long as all is well. */
  readonly fatal: { node: string; error: ErrorReport }[] = [];
  readonly #processes: FleetProcess[];
  readonly #ears = new Set<() => void>();
  readonly #join: Pick<FleetOptions, 'endpoint' | 'token'>;

  private constructor({ folder, agents, processes, seed, work, endpoint, token }: FleetOptions) {
    this.names = namesOf(agents);
    this.#join = { endpoint, token };
    const size = Math.ceil(agents / (processes ?? Math.ceil(agents / AGENTS_OF_PROCESS)));
    const crews: Crew[] = [];
    for (let at = 0; at < agents; at += size)
      crews.push({ folder, seed, work, nodes: this.names.slice(at, at + size) });
    this.#processes = crews.map((crew) => new FleetProcess(crew, (news) => this.#hear(news)));
  }

  /** Joins the machines and starts their agents; resolves when all are connected. Throws what joining throws. */
  static async start(options: FleetOptions): Promise<Fleet> {
    await mkdir(options.folder, { recursive: true, mode: 0o700 });
    const fleet = new Fleet(options);
    try {
      await Promise.all(fleet.#processes.map((_, index) => fleet.revive(index)));
      await fleet.whenConnected();
      return fleet;
    } catch (thrown) {
      await fleet.destroy();
      throw thrown;
    }
  }

  get processes(): number {
    return this.#processes.length;
  }

  get connected(): number {
    return this.#processes.reduce((sum, one) => sum + one.connected, 0);
  }

  /** Readers of what each process tells of deeds done on its machines, each from the beginning. */
  ledgers(): LedgerReader[] {
    return this.#processes.map(({ crew }) => new LedgerReader(ledgerPath(crew)));
  }

  /** Resolves once `count` agents (default: all) are connected. */
  whenConnected(count = this.names.length): Promise<void> {
    return new Promise((resolve, reject) => {
      const ear = (): void => {
        const [lost] = this.fatal;
        if (lost === undefined && this.connected < count) return;
        this.#ears.delete(ear);
        if (lost === undefined) resolve();
        else reject(new KkError(lost.error));
      };
      this.#ears.add(ear);
      ear();
    });
  }

  /** SIGKILL: its agents learn nothing of it; their commands go on in simulated time. */
  async kill(index: number): Promise<void> {
    await this.#processes[index]?.kill();
  }

  /** Starts a process that was killed (or never was): its agents go on from what their state folders hold. */
  async revive(index: number): Promise<void> {
    const one = this.#processes[index];
    if (one === undefined) return;
    await one.spawn();
    await one.ask({ ask: 'join', ...this.#join, atOnce: AT_ONCE });
    await one.ask({ ask: 'start' });
  }

  /** Ends so many connections of a process without a word; `draw` says which. Gives how many there were to end. */
  async cut(index: number, count: number, draw: string): Promise<number> {
    return Number(await this.#processes[index]?.ask({ ask: 'cut', count, draw }));
  }

  async usage(): Promise<Usage[]> {
    return (await Promise.all(this.#processes.map((one) => one.ask({ ask: 'usage' })))) as Usage[];
  }

  /** Ends the agents in good order. */
  async stop(): Promise<void> {
    await Promise.all(this.#processes.map((one) => one.stop()));
  }

  /** Ends the processes, whatever they are at. */
  async destroy(): Promise<void> {
    await Promise.all(this.#processes.map((one) => one.kill()));
  }

  #hear(news: News): void {
    if ('fatal' in news) this.fatal.push({ node: news.node, error: news.fatal });
    for (const ear of [...this.#ears]) ear();
  }
}

/** One process and the questions under way to it. */
class FleetProcess {
  connected = 0;
  readonly crew: Crew;
  readonly #onNews: (news: News) => void;
  readonly #waiting = new Map<number, { resolve: (value: Answer['value']) => void; reject: (error: Error) => void }>();
  #child: ChildProcess | undefined;
  #gone: Promise<unknown> = Promise.resolve();
  #lastId = 0;

  constructor(crew: Crew, onNews: (news: News) => void) {
    this.crew = crew;
    this.#onNews = onNews;
  }

  async spawn(): Promise<void> {
    const child = fork(join(import.meta.dirname, 'fleet-process.ts'), { env: { PATH: process.env['PATH'] } });
    this.#child = child;
    this.#gone = once(child, 'exit').then(() => this.#ended());
    child.on('message', (message) => this.#take(message as Answer | News));
    await this.ask({ ask: 'crew', crew: this.crew });
  }

  ask(ask: Ask): Promise<Answer['value']> {
    return new Promise((resolve, reject) => {
      if (this.#child?.connected !== true) return reject(gone(this.crew));
      const id = ++this.#lastId;
      this.#waiting.set(id, { resolve, reject });
      this.#child.send({ id, ...ask });
    });
  }

  async stop(): Promise<void> {
    if (this.#child === undefined) return;
    await this.ask({ ask: 'stop' });
    await this.#gone;
  }

  async kill(): Promise<void> {
    this.#child?.kill('SIGKILL');
    await this.#gone;
  }

  #ended(): void {
    this.#child = undefined;
    for (const { reject } of this.#waiting.values()) reject(gone(this.crew));
    this.#waiting.clear();
    this.connected = 0;
    this.#onNews({ connected: 0 });
  }

  #take(message: Answer | News): void {
    if (!('id' in message)) {
      if ('connected' in message) this.connected = message.connected;
      this.#onNews(message);
      return;
    }
    const waiter = this.#waiting.get(message.id);
    this.#waiting.delete(message.id);
    if (message.error === undefined) waiter?.resolve(message.value);
    else waiter?.reject(new KkError(message.error));
  }
}

function gone({ nodes }: Crew): KkError {
  return new KkError({
    code: 'FLEET_PROCESS_ENDED',
    message: `The process of the simulated machines ${nodes[0]} to ${nodes.at(-1)} has ended.`,
    remedy: 'Start it again with revive; if nobody ended it, look for its error above.',
  });
}
