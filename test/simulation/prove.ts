import fc from 'fast-check';
import type { Test } from 'tap';
import { schedules } from './schedules.ts';
import { type Schedule, World } from './world.ts';

/** KK_SEED and KK_PATH replay one schedule, KK_RUNS says how many others each file tries. */
const { KK_SEED, KK_PATH, KK_RUNS } = process.env;
export const SEED = Number(KK_SEED ?? 20_261_121);
const RUNS = Number(KK_RUNS ?? 10_000);

/** Plays one schedule to its end. Throws what is wrong, with all that is known of the world. */
export async function play(schedule: Schedule): Promise<World> {
  const world = new World(schedule);
  try {
    await world.run();
    return world;
  } catch (thrown) {
    const { message } = thrown as Error;
    throw new Error(`${message}\n${world.describe()}`, { cause: thrown });
  }
}

/**
 * Tries as many random schedules as one file does: several do it, so that they run beside each other. `file`: whose seed is
 * moved by `offset`, for the line that replays a failure.
 */
export function prove(t: Test, file: string, offset: number): void {
  // Two minutes of a quiet core; a slow machine that does other things may take its time.
  t.setTimeout(1_800_000);
  const seed = KK_PATH === undefined ? SEED + offset : SEED;
  void t.test(`${RUNS} schedules keep every promise`, async (t) => {
    t.setTimeout(1_800_000);
    const details = await fc.check(
      fc.asyncProperty(schedules, async (schedule) => {
        await play(schedule);
      }),
      { seed, numRuns: RUNS, ...(KK_PATH === undefined ? {} : { path: KK_PATH }) },
    );
    if (!details.failed) return t.pass(`seed ${seed}`);
    const again = `KK_SEED=${seed} KK_PATH=${details.counterexamplePath} npm test -- test/simulation/${file}.test.ts`;
    const { message } = details.errorInstance as Error;
    return t.fail(`replay it with: ${again}\n${JSON.stringify(details.counterexample?.[0])}\n${message}`);
  });
}
