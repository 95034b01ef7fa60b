import { z } from 'zod';

/** Below `fail_below` the installation would not work; below `warn_below` it works with a risk. 0: no limit. */
export const Floor = z.strictObject({
  fail_below: z.number().min(0),
  warn_below: z.number().min(0),
});
export type Floor = z.infer<typeof Floor>;

/** Floors per group; `all` is every node's. */
export const FloorsByGroup = z.record(z.string(), Floor);
export type FloorsByGroup = z.infer<typeof FloorsByGroup>;

/** A floor with the group that asks for it, for the message. */
export interface AskedFloor {
  value: number;
  group: string;
}

/**
 * The strictest of the floors of a node's groups: a node that is both control plane and worker must do for both.
 * `all` counts whether it is listed or not. No floor at all: value 0.
 */
export function strictest(floors: FloorsByGroup, groups: readonly string[], word: keyof Floor): AskedFloor {
  let asked: AskedFloor = { value: 0, group: 'all' };
  for (const group of new Set(['all', ...groups])) {
    const value = Object.hasOwn(floors, group) ? (floors[group]?.[word] ?? 0) : 0;
    if (value > asked.value) asked = { value, group };
  }
  return asked;
}

/** fail and warn floors of a node, and which of them `found` does not reach. */
export function judgeFloor(
  floors: FloorsByGroup,
  groups: readonly string[],
  found: number,
): { outcome: 'pass' | 'warn' | 'fail'; asked: AskedFloor } {
  const hard = strictest(floors, groups, 'fail_below');
  if (found < hard.value) return { outcome: 'fail', asked: hard };
  const soft = strictest(floors, groups, 'warn_below');
  if (found < soft.value) return { outcome: 'warn', asked: soft };
  return { outcome: 'pass', asked: soft.value > hard.value ? soft : hard };
}
