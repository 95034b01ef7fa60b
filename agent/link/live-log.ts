import { encodeToController } from '../../shared/protocol/codec.ts';
import type { LogChunk } from '../../shared/protocol/messages.ts';

/** Bytes of one LogChunk (kk.proto). */
const CHUNK = 64 * 1024;

/**
 * Live output towards people: sent while there is credit and a connection, else dropped, for the result has it anyway.
 * Offsets tell the reader where a gap is.
 */
export class LiveLog {
  #credit = 0;
  #dropped = 0;
  #send: ((frame: Uint8Array) => void) | undefined;

  /** Bytes that were not sent since the start. */
  get dropped(): number {
    return this.#dropped;
  }

  /** A connection is there, with so many bytes of credit. */
  connected(credit: number, send: (frame: Uint8Array) => void): void {
    this.#credit = credit;
    this.#send = send;
  }

  disconnected(): void {
    this.#send = undefined;
  }

  granted(bytes: number): void {
    this.#credit += bytes;
  }

  add(chunk: LogChunk): void {
    for (let at = 0; at < chunk.data.length; at += CHUNK) {
      const data = chunk.data.subarray(at, at + CHUNK);
      if (this.#send === undefined || data.length > this.#credit) {
        this.#dropped += data.length;
        continue;
      }
      this.#credit -= data.length;
      this.#send(encodeToController({ kind: 'log_chunk', value: { ...chunk, data, offset: chunk.offset + at } }));
    }
  }
}
