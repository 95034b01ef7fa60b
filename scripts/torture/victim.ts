/** A real program of kk that is killed again and again. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream, type WriteStream } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';

const ARM = join(import.meta.dirname, 'arm-crash.ts');

/** How a life ends: at a crash point from inside, after a time from outside; both: whatever comes first. */
export interface Death {
  /** As KK_TORTURE_CRASH of arm-crash.ts; empty: none. */
  point: string;
  afterMs: number;
  /** From when the time counts: the start of the process, or when it says that it is at work. */
  from: 'start' | 'ready';
  /** Stands still for so long before: others see it silent and not gone. 0: does not. */
  frozenMs: number;
}

export class Victim {
  readonly #main: string;
  readonly #args: readonly string[];
  readonly #ready: RegExp;
  /** What it says, over all its lives. */
  readonly log: string;
  readonly #said: WriteStream;
  #child: ChildProcess | undefined;
  #gone: Promise<unknown> = Promise.resolve();

  #isReady: Promise<unknown> = Promise.resolve();

  /** `main`: of the repository; `ready`: what it says once it is at work; `log`: a file. */
  constructor(main: string, args: readonly string[], ready: RegExp, log: string) {
    this.#ready = ready;
    this.#said = createWriteStream(log, { flags: 'a', mode: 0o600 });
    this.#main = join(import.meta.dirname, '../..', main);
    this.#args = args;
    this.log = log;
  }

  start(point = ''): void {
    const child = spawn(process.execPath, ['--import', ARM, this.#main, ...this.#args], {
      env: { PATH: process.env['PATH'], KK_TORTURE_CRASH: point, NODE_COMPILE_CACHE: `${dirname(this.log)}/compiled` },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    this.#child = child;
    this.#gone = once(child, 'exit');
    const said = child.stderr;
    this.#isReady = new Promise((resolve) => {
      said.on('data', (chunk: Buffer) => {
        this.#said.write(chunk);
        if (this.#ready.test(chunk.toString())) resolve(undefined);
      });
    });
  }

  /** Starts it and sees it die; says from where. Throws an Error when it ended by itself. */
  async live(death: Death): Promise<'from outside' | 'at a crash point'> {
    this.start(death.point);
    const timer = new AbortController();
    const kill = async (): Promise<void> => {
      if (death.from === 'ready') await this.#isReady;
      await pause(death.afterMs, undefined, { signal: timer.signal });
      if (death.frozenMs > 0) {
        this.#child?.kill('SIGSTOP');
        await pause(death.frozenMs, undefined, { signal: timer.signal });
        this.#child?.kill('SIGCONT');
      }
      how = 'from outside';
      this.#child?.kill('SIGKILL');
    };
    let how: 'from outside' | 'at a crash point' = 'at a crash point';
    // It stays away when the process ends before it is ready, and rejects when aborted.
    kill().catch(() => {});
    await this.#gone;
    timer.abort();
    const { exitCode } = this.#child ?? {};
    if (exitCode !== null) throw new Error(`it ended by itself with code ${exitCode}: see ${this.log}`);
    return how;
  }

  async kill(): Promise<void> {
    this.#child?.kill('SIGKILL');
    await this.#gone;
  }
}
