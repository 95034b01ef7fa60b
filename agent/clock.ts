import type { Clock } from './executor/ports.ts';
import type { Host } from './host/host.ts';

/** setTimeout takes no more (it would fire at once): about 25 days. */
const LONGEST_MS = 2 ** 31 - 1;

/** The machine's clocks and timers. */
export function systemClock(host: Pick<Host, 'bootTimeMs' | 'nowMs'>): Clock {
  return {
    bootTimeMs: () => host.bootTimeMs(),
    nowMs: () => host.nowMs(),
    after(ms, then) {
      const timer = setTimeout(then, Math.min(Math.max(0, ms), LONGEST_MS));
      return () => clearTimeout(timer);
    },
  };
}
