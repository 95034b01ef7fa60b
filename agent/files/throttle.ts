export interface ThrottleOptions {
  /** Bytes a second of all that goes through together; undefined: no limit. */
  bytesPerSecond: number | undefined;
  /** Monotonic milliseconds. */
  nowMs: () => number;
  pause: (ms: number) => Promise<void>;
}

/** Keeps what the agent pulls, of all steps together, below a rate. */
export class Throttle {
  readonly #options: ThrottleOptions;
  /** When what was let through so far is paid for. */
  #paidMs = 0;

  constructor(options: ThrottleOptions) {
    this.#options = options;
  }

  /** Resolves when `bytes` may have come. */
  async spend(bytes: number): Promise<void> {
    const { bytesPerSecond, nowMs, pause } = this.#options;
    if (bytesPerSecond === undefined) return;
    const now = nowMs();
    this.#paidMs = Math.max(this.#paidMs, now) + (bytes * 1000) / bytesPerSecond;
    if (this.#paidMs > now) await pause(this.#paidMs - now);
  }
}
