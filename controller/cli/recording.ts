import { closeSync, openSync, rmSync, writeSync } from 'node:fs';
import { isSystemError, KkError } from '../../shared/errors.ts';

/**
 * Writes what a terminal showed as asciicast v2 (one JSON document a line: a header, then [seconds, "o" or "r", text]),
 * which asciinema plays. What was typed is not in it. The file is readable by its owner alone, for a session may show secrets.
 */
export class Recording {
  readonly #file: string;
  readonly #fd: number;
  readonly #now: () => number;
  readonly #begunMs: number;
  /** A character may be cut between two chunks. */
  readonly #text = new TextDecoder('utf-8');
  #isEmpty = true;
  /** Why nothing more is written. */
  trouble: string | undefined;

  private constructor(file: string, fd: number, now: () => number) {
    this.#file = file;
    this.#fd = fd;
    this.#now = now;
    this.#begunMs = now();
  }

  /** `now`: milliseconds since 1970. Throws KkError RECORDING_NOT_WRITABLE, also where a file is already. */
  static begin(file: string, head: { columns: number; rows: number; term: string }, now: () => number): Recording {
    const { columns, rows, term } = head;
    try {
      const recording = new Recording(file, openSync(file, 'wx', 0o600), now);
      const timestamp = Math.floor(recording.#begunMs / 1000);
      recording.#line({ version: 2, width: columns, height: rows, timestamp, env: { TERM: term } });
      return recording;
    } catch (cause) {
      const why = isSystemError(cause, 'EEXIST') ? 'there is a file already' : (cause as Error).message;
      throw new KkError({
        code: 'RECORDING_NOT_WRITABLE',
        message: `The recording ${file} cannot be made: ${why}.`,
        remedy: 'Give --record the name of a new file in a folder that you may write to.',
        cause,
      });
    }
  }

  shown(data: Uint8Array): void {
    const text = this.#text.decode(data, { stream: true });
    this.#isEmpty = false;
    if (text !== '') this.#event('o', text);
  }

  resized(columns: number, rows: number): void {
    this.#event('r', `${columns}x${rows}`);
  }

  /** One that nothing was shown in is taken away again. */
  end(): void {
    closeSync(this.#fd);
    if (this.#isEmpty) rmSync(this.#file, { force: true });
  }

  #event(kind: 'o' | 'r', text: string): void {
    this.#line([(this.#now() - this.#begunMs) / 1000, kind, text]);
  }

  #line(value: unknown): void {
    if (this.trouble !== undefined) return;
    try {
      writeSync(this.#fd, `${JSON.stringify(value)}\n`);
    } catch (thrown) {
      this.trouble = (thrown as Error).message;
    }
  }
}
