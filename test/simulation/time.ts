/** Time of a simulated world: it passes only when it is told to. */
export class SimulatedTime {
  /** Milliseconds since the world began; every clock in it is derived from this one. */
  now = 1_000_000;
  readonly #timers: { at: number; order: number; then: () => void }[] = [];
  #order = 0;

  /** Calls `then` once when `ms` have passed; the answer cancels it. */
  after(ms: number, then: () => void): () => void {
    const timer = { at: this.now + Math.max(0, ms), order: this.#order, then };
    this.#order += 1;
    this.#timers.push(timer);
    return () => {
      const at = this.#timers.indexOf(timer);
      if (at >= 0) this.#timers.splice(at, 1);
    };
  }

  /** When the next timer is due; undefined: none is set. */
  next(): number | undefined {
    return this.#first()?.at;
  }

  /** Fires the next timer that is due by `until`, at its time; false: there is none, and it is `until` now. */
  step(until: number): boolean {
    const timer = this.#first();
    if (timer === undefined || timer.at > until) {
      this.now = Math.max(this.now, until);
      return false;
    }
    this.#timers.splice(this.#timers.indexOf(timer), 1);
    this.now = Math.max(this.now, timer.at);
    timer.then();
    return true;
  }

  #first(): { at: number; order: number; then: () => void } | undefined {
    let first = this.#timers[0];
    for (const timer of this.#timers)
      if (first === undefined || timer.at < first.at || (timer.at === first.at && timer.order < first.order))
        first = timer;
    return first;
  }
}

/**
 * Lets everything happen that needs no outside event: microtasks, and what parts put off with setImmediate to the end of the
 * turn (the journal does). Two turns, because the first may only begin what the second carries out.
 */
export async function quiet(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
  await new Promise((resolve) => setImmediate(resolve));
}

/** What a part of a dead process waits for. */
export function never(): Promise<never> {
  return new Promise(() => {});
}
