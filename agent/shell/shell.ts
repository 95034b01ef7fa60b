import { type ErrorReport, KkError, reportOf } from '../../shared/errors.ts';
import { SHELL_OUTPUT } from '../../shared/protocol/level.ts';
import type { ShellOpen } from '../../shared/protocol/messages.ts';
import { Terminal } from '../pty/terminal.ts';
import { programOf } from './program.ts';

/** Bytes of input that may be under way to a program that does not read. */
const INPUT = 64 * 1024;

/** A terminal gives 4 KiB at a time: what comes within so long goes together. */
const GATHER_MS = 2;

/** Exit status and signal (0: none), or why there is none of both. */
type ShellEnd = { code: number; signal: number } | { report: ErrorReport };

/** What a shell tells. */
export interface ShellEars {
  opened(credit: number): void;
  /** At most {@link SHELL_OUTPUT} at once. */
  output(data: Uint8Array): void;
  taken(bytes: number): void;
  /** Once, after all output; never after {@link Shell.close}. */
  ended(end: ShellEnd): void;
}

/** One program on a terminal, between its opening and its end; both ways no more is under way than there is credit for. */
export class Shell {
  readonly #wish: ShellOpen;
  readonly #ears: ShellEars;
  #terminal: Terminal | undefined;
  #size: { columns: number; rows: number };
  /** Bytes that may be sent. */
  #credit: number;
  /** Bytes that may still come. */
  #room = INPUT;
  /** Printed and not sent. */
  #held: Buffer[] = [];
  #bytes = 0;
  #gathering: NodeJS.Timeout | undefined;
  /** How it ended, while what it printed waits for credit. */
  #ending: ShellEnd | undefined;
  #closed = false;

  constructor(wish: ShellOpen, ears: ShellEars) {
    this.#wish = wish;
    this.#ears = ears;
    this.#size = { columns: wish.columns, rows: wish.rows };
    this.#credit = wish.credit;
  }

  /** Starts the program; what cannot be started is told as its end. */
  async start(): Promise<void> {
    try {
      const spec = await programOf(this.#wish);
      if (this.#closed) return;
      const terminal = await Terminal.open(
        { ...spec, ...this.#size },
        {
          onData: (data) => this.#printed(data),
          onTaken: (bytes) => this.#taken(bytes),
          onEnd: (code, signal) => this.#end({ code, signal }),
        },
      );
      this.#terminal = terminal;
      if (this.#closed) terminal.hangUp();
      else this.#ears.opened(INPUT);
    } catch (thrown) {
      this.#end({ report: reportOf(thrown) });
    }
  }

  type(data: Uint8Array): void {
    if (data.length > this.#room) {
      this.#end({ report: overrun('input').report });
      return;
    }
    this.#room -= data.length;
    this.#terminal?.write(data);
  }

  resize(columns: number, rows: number): void {
    this.#size = { columns, rows };
    this.#terminal?.resize(columns, rows);
  }

  granted(bytes: number): void {
    this.#credit += bytes;
    if (this.#bytes > 0) this.#flush();
    if (this.#ending !== undefined) this.#tellEnd(this.#ending);
    else if (!this.#isHeldUp) this.#terminal?.resume();
  }

  /** The person is gone. Nothing is told any more. */
  close(): void {
    this.#closed = true;
    this.#terminal?.hangUp();
  }

  get #isHeldUp(): boolean {
    return this.#bytes >= this.#credit;
  }

  #printed(data: Buffer): void {
    if (this.#closed) return;
    this.#held.push(data);
    this.#bytes += data.length;
    if (this.#isHeldUp || this.#bytes >= SHELL_OUTPUT) this.#flush();
    else this.#gathering ??= setTimeout(() => this.#flush(), GATHER_MS);
    if (this.#isHeldUp) this.#terminal?.pause();
  }

  #flush(): void {
    clearTimeout(this.#gathering);
    this.#gathering = undefined;
    if (this.#closed) return;
    let rest = Buffer.concat(this.#held);
    while (rest.length > 0 && this.#credit > 0) {
      const part = rest.subarray(0, Math.min(this.#credit, SHELL_OUTPUT));
      rest = rest.subarray(part.length);
      this.#credit -= part.length;
      this.#ears.output(part);
    }
    this.#held = rest.length > 0 ? [rest] : [];
    this.#bytes = rest.length;
  }

  #taken(bytes: number): void {
    this.#room += bytes;
    if (!this.#closed) this.#ears.taken(bytes);
  }

  #end(end: ShellEnd): void {
    this.#flush();
    this.#ending = end;
    this.#tellEnd(end);
  }

  /** Once all is sent; trouble is told at once. */
  #tellEnd(end: ShellEnd): void {
    if (this.#closed || (this.#bytes > 0 && !('report' in end))) return;
    this.#closed = true;
    if ('report' in end) this.#terminal?.hangUp();
    this.#ears.ended(end);
  }
}

function overrun(what: string): KkError {
  return new KkError({
    code: 'SHELL_OVERRUN',
    message: `More ${what} came than the other side of the shell had asked for.`,
    remedy: 'Use the same version for the controller and the agent.',
  });
}
