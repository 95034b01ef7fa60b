/**
 * Named points at which a test may end the process, or cut the power of a simulated machine: before and after every durable
 * write, and wherever a crash in between would be told apart. In production nobody arms them and they do nothing.
 */
let hook: ((point: string) => void) | undefined;

export const crash = {
  /** Execution passes this point. Names are `side.what.when`, such as `agent.journal.appended`. */
  at(point: string): void {
    hook?.(point);
  },
  /** Tests only: from now on each point is told; undefined: no more. */
  arm(then: ((point: string) => void) | undefined): void {
    hook = then;
  },
};
