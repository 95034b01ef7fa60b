/**
 * What was really done on the simulated machines of one process, told outside the product: a line for each command that
 * began and each file that was written. It outlives a killed process, which reads it to know its machines again; soak and
 * tests count in it what was lost or done twice.
 */
import { closeSync, existsSync, openSync, readFileSync, writeSync } from 'node:fs';
import { open } from 'node:fs/promises';
import type { CommandRecord } from './simulated-commands.ts';

export type Deed =
  | { node: string; began: CommandRecord }
  | { node: string; stopped: CommandRecord }
  /** Without content: removed. */
  | { node: string; wrote: string; content?: string };

/** Adds to a ledger; each line is with the kernel when `add` returns. */
export class Ledger {
  readonly #file: number;

  constructor(path: string) {
    this.#file = openSync(path, 'a', 0o600);
  }

  add(deed: Deed): void {
    writeSync(this.#file, `${JSON.stringify(deed)}\n`);
  }

  close(): void {
    closeSync(this.#file);
  }
}

/** All deeds of a ledger, of one that is not there: none. */
export function readLedger(path: string): Deed[] {
  return existsSync(path) ? deedsOf(readFileSync(path, 'utf8')) : [];
}

/** Reads a ledger on, a piece at a time; a line that is not whole yet is left for the next time. */
export class LedgerReader {
  readonly #path: string;
  #at = 0;
  #reading: Promise<unknown> = Promise.resolve();

  constructor(path: string) {
    this.#path = path;
  }

  /** What was added since the last call; calls that overlap go one after the other, or a deed would be told to both. */
  more(): Promise<Deed[]> {
    const next = this.#reading.then(() => this.#more());
    this.#reading = next.catch(() => {});
    return next;
  }

  async #more(): Promise<Deed[]> {
    const file = await open(this.#path, 'r');
    try {
      const { size } = await file.stat();
      const bytes = Buffer.alloc(size - this.#at);
      await file.read(bytes, 0, bytes.length, this.#at);
      const whole = bytes.subarray(0, bytes.lastIndexOf(0x0a) + 1);
      this.#at += whole.length;
      return deedsOf(whole.toString('utf8'));
    } finally {
      await file.close();
    }
  }
}

function deedsOf(text: string): Deed[] {
  return text.split('\n').flatMap((line) => (line.endsWith('}') ? [JSON.parse(line) as Deed] : []));
}
