import type { Clock } from './ports.ts';

/** Resolves after `ms`, at once when cancelled. */
export function pause(clock: Clock, ms: number, cancelled: AbortSignal): Promise<void> {
  if (ms <= 0 || cancelled.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const done = (): void => {
      stop();
      cancelled.removeEventListener('abort', done);
      resolve();
    };
    const stop = clock.after(ms, done);
    cancelled.addEventListener('abort', done);
  });
}
