import { type ChildProcess, spawn } from 'node:child_process';
import type { Socket } from 'node:net';
import { withoutMasters } from '../pty/masters.ts';
import { LATER } from './command-folder.ts';

/** Long enough that it does not start beside what is short, soon enough for the step after one that takes its time. */
const REST_MS = 250;

/**
 * One wrapper that is started ahead and waits for its folder on stdin, so that a command need not wait for the start of Node. It
 * has a session of its own like any other, and from then on is like any other. Until then it ends with the agent, however that
 * ends: its stdin does.
 */
export class Standby {
  readonly #argv: readonly [string, ...string[]];
  #waiting: ChildProcess | undefined;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  /** `argv`: as for any wrapper, without the folder. The first is started after a moment. */
  constructor(argv: readonly [string, ...string[]]) {
    this.#argv = argv;
    this.rest();
  }

  /** Starts one, unless one waits, when no command has begun for a moment: what begins now has the machine to itself. */
  rest(): void {
    clearTimeout(this.#timer);
    if (!this.#closed) this.#timer = setTimeout(() => this.#make(), REST_MS).unref();
  }

  /** The wrapper, told its folder and on its way; undefined: none waits. It may die before it has begun, as any other may. */
  take(folder: string): ChildProcess | undefined {
    const child = this.#waiting;
    this.#waiting = undefined;
    child?.ref();
    child?.stdin?.end(`${folder}\n`);
    return child;
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#waiting?.stdin?.end();
    this.#waiting = undefined;
  }

  #make(): void {
    if (this.#waiting !== undefined) return;
    const [program, ...args] = this.#argv;
    const [, ...rest] = withoutMasters('ignore');
    const child = spawn(program, [...args, LATER], { detached: true, stdio: ['pipe', ...rest], cwd: '/', env: {} });
    this.#waiting = child;
    // One that cannot start or does not stay is not tried again before a command was begun without it.
    const gone = (): void => {
      if (this.#waiting === child) this.#waiting = undefined;
    };
    child.once('error', gone);
    child.once('exit', gone);
    // It died before it read its folder: its end tells.
    child.stdin?.on('error', () => {});
    // What waits keeps nobody from ending.
    child.unref();
    (child.stdin as Socket | null)?.unref();
  }
}
