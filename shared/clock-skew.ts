import { readableTime } from './certificates.ts';
import type { ErrorReport } from './errors.ts';

/** Certificates begin an hour in the past, so a smaller difference harms nobody; this one is worth mending in time. */
const TOLD_FROM_MS = 60_000;

/** What two clocks that disagree are told as on both sides, with both times; undefined: near enough. Epoch milliseconds. */
export function clockSkew(node: string, nodeMs: number, controllerMs: number): ErrorReport | undefined {
  if (Math.abs(nodeMs - controllerMs) < TOLD_FROM_MS) return undefined;
  return {
    code: 'CLOCK_SKEW',
    message: `The clock of ${node} says ${readableTime(nodeMs)}, the controller's ${readableTime(controllerMs)}.`,
    remedy: 'Set the one that is wrong right (chrony or systemd-timesyncd): certificates go by it.',
  };
}
