import type { Clock } from '../executor/ports.ts';

export interface HeartbeatOptions {
  clock: Clock;
  everyMs: number;
  send(id: number): void;
  /** The heartbeat sent at `atMs` (CLOCK_BOOTTIME) was answered. */
  onAnswer(atMs: number): void;
  /** Three in a row were not answered: the connection is dead, whatever TCP believes. */
  onSilence(): void;
}

const MISSED = 3;

/** Asks the controller for a sign of life, at once and then regularly. The lease counts from the sending of what was answered. */
export class Heartbeat {
  readonly #options: HeartbeatOptions;
  readonly #sent = new Map<number, number>();
  #last = 0;
  #cancel: () => void = () => {};

  constructor(options: HeartbeatOptions) {
    this.#options = options;
  }

  start(): void {
    const { clock, everyMs } = this.#options;
    if (this.#sent.size >= MISSED) {
      this.#options.onSilence();
      return;
    }
    this.#last += 1;
    this.#sent.set(this.#last, clock.bootTimeMs());
    this.#options.send(this.#last);
    this.#cancel = clock.after(everyMs, () => this.start());
  }

  stop(): void {
    this.#cancel();
  }

  /** An answer; one to a heartbeat that this connection never sent says nothing. */
  answered(id: number): void {
    const atMs = this.#sent.get(id);
    if (atMs === undefined) return;
    for (const known of this.#sent.keys()) if (known <= id) this.#sent.delete(known);
    this.#options.onAnswer(atMs);
  }
}
