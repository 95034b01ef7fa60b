import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Client } from '../../controller/cli/client.ts';
import { awaitController } from '../../controller/cli/daemon.ts';
import { socketPath } from '../../controller/config/settings.ts';

const MAIN = join(import.meta.dirname, '../../controller/main.ts');
const START_MS = 60_000;

/** `lease`: as for `serve`; `agents`: folder of the packaged agents, default the project's own. */
export interface ControllerOptions {
  lease?: string;
  execArgv?: readonly string[];
  agents?: string;
}

/** A real controller, as a process that can be killed; it keeps its port over restarts. */
export class ControllerProcess {
  readonly folder: string;
  readonly client: Client;
  readonly #options: ControllerOptions;
  endpoint = '';
  #child: ChildProcess | undefined;
  #gone: Promise<unknown> = Promise.resolve();
  #ended: string | undefined;

  /** `folder`: its state; its log is beside it. */
  constructor(folder: string, options: ControllerOptions = {}) {
    this.folder = folder;
    this.#options = options;
    this.client = new Client(socketPath(folder));
  }

  get logPath(): string {
    return `${this.folder}.log`;
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  /** Resolves when it answers. Throws an Error with the end of its log when it does not. */
  async start(): Promise<void> {
    await mkdir(this.folder, { recursive: true, mode: 0o700 });
    const log = openSync(this.logPath, 'a', 0o600);
    const { lease, execArgv = [], agents } = this.#options;
    const port = this.endpoint === '' ? 0 : new URL(this.endpoint).port;
    const listen = ['--listen', `127.0.0.1:${port}`, ...(lease === undefined ? [] : ['--lease', lease])];
    const child = spawn(process.execPath, [...execArgv, MAIN, '--state', this.folder, 'serve', ...listen], {
      env: { PATH: process.env['PATH'], ...(agents === undefined ? {} : { KK_AGENTS: agents }) },
      stdio: ['ignore', log, log, 'ipc'],
    });
    closeSync(log);
    this.#child = child;
    this.#ended = undefined;
    this.#gone = new Promise<void>((resolve) => {
      child.once('exit', (code, signal) => {
        this.#ended = `${signal ?? code}`;
        resolve();
      });
    });
    if (!(await Promise.race([awaitController(this.client, START_MS), this.#gone.then(() => false)]))) {
      const text = readFileSync(this.logPath, 'utf8').split('\n').slice(-20).join('\n');
      throw new Error(`the controller did not start (${this.#ended ?? 'no answer'}):\n${text}`);
    }
    this.endpoint = (await this.client.status()).endpoints[0] ?? '';
  }

  /** A join token for so many machines. */
  async token(uses: number): Promise<string> {
    return (await this.client.createToken({ ttlSeconds: 86_400, uses })).text;
  }

  /** CPU seconds used, and bytes resident, as /proc has it. */
  usage(): { cpuSeconds: number; rss: number } {
    const fields = readFileSync(`/proc/${this.pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
    const pages = Number(readFileSync(`/proc/${this.pid}/statm`, 'utf8').split(' ')[1]);
    // Clock ticks of 10 ms and pages of 4 KiB, as on every Linux that kk runs on.
    return { cpuSeconds: (Number(fields[11]) + Number(fields[12])) / 100, rss: pages * 4096 };
  }

  /** Bytes in use after a collection; needs scripts/soak/tell-memory.ts in its `execArgv`. Undefined: it died meanwhile. */
  async liveMemory(): Promise<number | undefined> {
    const child = this.#child;
    if (child?.connected !== true) return undefined;
    const answer = once(child, 'message').then(([bytes]) => bytes as number);
    // With a callback a child that has just died is no error: its end is waited for.
    child.send('live memory', () => {});
    return Promise.race([answer, this.#gone.then(() => undefined)]);
  }

  async kill(): Promise<void> {
    this.#child?.kill('SIGKILL');
    await this.#gone;
  }

  async stop(): Promise<void> {
    this.#child?.kill('SIGTERM');
    await this.#gone;
  }
}
