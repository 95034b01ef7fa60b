import { chmodSync, chownSync, readFileSync, writeSync } from 'node:fs';
import { ReadStream } from 'node:tty';
import { isSystemError } from '../../shared/errors.ts';
import { dropMaster, keepMaster } from './masters.ts';
import { type NativePty, nativePty } from './native.ts';

/** A terminal that takes no input is asked again so much later. */
const FULL_MS = 20;
/** The program has ended and others still hold its terminal: what they print is read until it is quiet so long, … */
const QUIET_MS = 200;
/** … and at most so long. */
const DRAIN_MS = 2_000;
/** A program that does not heed HUP is killed after this. */
const KILL_MS = 5_000;
/** Widest and highest: the kernel counts in 16 bits. */
const MOST = 10_000;

export interface TerminalSpec {
  /** argv[0] is looked up in the PATH of `env`. */
  argv: readonly [string, ...string[]];
  env: Readonly<Record<string, string>>;
  cwd: string;
  columns: number;
  rows: number;
  /** Whose the terminal is, as login has it: its user may open it, others of the group may only write. Default: ours. */
  owner?: { uid: number; gid: number };
}

export interface TerminalEvents {
  /** As printed, in order; cut anywhere. */
  onData(data: Buffer): void;
  /** So many bytes of what was given to {@link Terminal.write} have been taken. */
  onTaken?(bytes: number): void;
  /** Once, before {@link onEnd}: the program has ended; what it printed, and what others print, may be still to come. */
  onExit?(code: number, signal: number): void;
  /** Once: the program has ended and all it printed was handed on. `signal` 0: none. */
  onEnd(code: number, signal: number): void;
}

/** A program on a pseudoterminal of its own, in a session of its own. */
export class Terminal {
  readonly pid: number;
  readonly #fd: number;
  readonly #native: NativePty;
  readonly #events: TerminalEvents;
  readonly #master: ReadStream;
  #input: Buffer[] = [];
  #retry: NodeJS.Timeout | undefined;
  #exit: { code: number; signal: number } | undefined;
  #open = true;
  #told = false;
  #paused = false;
  #heardAt = 0;

  private constructor(native: NativePty, spec: TerminalSpec, events: TerminalEvents) {
    const [file, ...args] = spec.argv;
    const env = Object.entries(spec.env).map(([name, value]) => `${name}=${value}`);
    const onExit = (code: number, signal: number): void => this.#exited(code, signal);
    const size = [within(spec.columns), within(spec.rows)] as const;
    const { fd, pid } = native.fork(file, args, env, spec.cwd, ...size, -1, -1, true, '', onExit);
    keepMaster(fd);
    if (spec.owner !== undefined) handOver(fd, spec.owner);
    this.#native = native;
    this.#events = events;
    this.#fd = fd;
    this.pid = pid;
    this.#master = new ReadStream(fd);
    this.#master.on('data', (data: Buffer) => {
      this.#heardAt = performance.now();
      events.onData(data);
    });
    // EIO when nobody holds the other side any more: the end of what was printed.
    this.#master.on('error', () => {});
    this.#master.on('close', () => {
      this.#open = false;
      dropMaster(fd);
      clearTimeout(this.#retry);
      this.#settle();
    });
  }

  /** Starts the program. Throws KkError PTY_MISSING, and the system's error when there is no terminal or process left. */
  static async open(spec: TerminalSpec, events: TerminalEvents): Promise<Terminal> {
    return new Terminal(await nativePty(), spec, events);
  }

  /** As typed. What the program does not read yet is kept: the caller bounds it by {@link TerminalEvents.onTaken}. */
  write(data: Uint8Array): void {
    this.#input.push(Buffer.from(data));
    if (this.#input.length === 1) this.#feed();
  }

  resize(columns: number, rows: number): void {
    if (!this.#canUse) return;
    try {
      this.#native.resize(this.#fd, within(columns), within(rows), 0, 0);
    } catch {
      // Nobody is there any more to whom the size matters.
    }
  }

  /** Nothing more is read: a program that goes on printing waits. */
  pause(): void {
    this.#paused = true;
    this.#master.pause();
  }

  resume(): void {
    this.#paused = false;
    this.#heardAt = performance.now();
    this.#master.resume();
  }

  /** Takes the terminal away from its session, which gets HUP; what the program prints about that is not read. */
  hangUp(): void {
    this.#paused = false;
    this.#input = [];
    this.signal('SIGHUP');
    this.#master.destroy();
    setTimeout(() => this.signal('SIGKILL'), KILL_MS).unref();
  }

  /** To the program itself, if it is there. */
  signal(signal: NodeJS.Signals): void {
    if (this.#exit !== undefined) return;
    try {
      process.kill(this.pid, signal);
    } catch {
      // It has just ended.
    }
  }

  /** Once destroyed, and before `close` is heard, the number may be another file's. */
  get #canUse(): boolean {
    return this.#open && !this.#master.destroyed;
  }

  #feed(): void {
    const { onTaken } = this.#events;
    for (let [first] = this.#input; first !== undefined && this.#canUse; [first] = this.#input) {
      let taken = 0;
      try {
        taken = writeSync(this.#fd, first);
      } catch (thrown) {
        if (!isSystemError(thrown, 'EAGAIN')) {
          // Nobody will read it.
          this.#input = [];
          return;
        }
      }
      if (taken === first.length) this.#input.shift();
      else {
        this.#input[0] = first.subarray(taken);
        this.#retry = setTimeout(() => this.#feed(), FULL_MS);
      }
      if (taken > 0) onTaken?.(taken);
      if (taken < first.length) return;
    }
  }

  #exited(code: number, signal: number): void {
    this.#exit = { code, signal };
    this.#heardAt = performance.now();
    this.#events.onExit?.(code, signal);
    this.#settle();
    if (this.#open) this.#drain(DRAIN_MS);
  }

  /** Looks now and then whether a terminal that others hold has become quiet; a reader that is held up is waited for. */
  #drain(leftMs: number): void {
    const isQuiet = !this.#paused && performance.now() - this.#heardAt >= QUIET_MS;
    if (isQuiet || leftMs <= 0) this.#master.destroy();
    else setTimeout(() => this.#open && this.#drain(this.#paused ? leftMs : leftMs - QUIET_MS), QUIET_MS);
  }

  #settle(): void {
    if (this.#open || this.#exit === undefined || this.#told) return;
    this.#told = true;
    this.#events.onEnd(this.#exit.code, this.#exit.signal);
  }
}

/** The kernel tells the number of its other side (Documentation/filesystems/proc.rst, fdinfo). */
function handOver(master: number, { uid, gid }: { uid: number; gid: number }): void {
  const [, number] = /^tty-index:\s*(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${master}`, 'utf8')) ?? [];
  if (number === undefined) return;
  chownSync(`/dev/pts/${number}`, uid, gid);
  chmodSync(`/dev/pts/${number}`, 0o620);
}

function within(cells: number): number {
  return Math.min(MOST, Math.max(1, Math.trunc(cells) || 1));
}
