import type { Readable } from 'node:stream';

/** Bytes from `offset` on; a source that cannot begin there gives all of them, from 0. */
export interface Opened {
  stream: Readable;
  offset: number;
  /** Bytes of the whole file; undefined: not told. */
  total: number | undefined;
}

/** Somewhere a file comes from. */
export interface Source {
  /** For people: `the controller`, `https://example.org/x.tar`. Never holds a secret. */
  name: string;
  /**
   * Throws KkError when asking again would not help, and {@link Away} when it may.
   */
  open(offset: number, signal: AbortSignal): Promise<Opened>;
  /** How often it is asked again without a byte having come; undefined: as long as the step may last. */
  patience: number | undefined;
}

/** It cannot be had now: nobody answers, or the answer broke off. The message says what was seen. */
export class Away extends Error {
  override name = 'Away';
}
