import { randomBytes } from 'node:crypto';

/** The id of a new run: the day, and enough chance that two never meet. */
export function newRunId(nowMs: number): string {
  return `${new Date(nowMs).toISOString().slice(0, 10).replaceAll('-', '')}-${randomBytes(4).toString('hex')}`;
}
