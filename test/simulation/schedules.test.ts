import fc from 'fast-check';
import t from 'tap';
import { schedules } from './schedules.ts';
import { type Operation, type Schedule, World } from './world.ts';

/** KK_SEED and KK_PATH replay one schedule, KK_RUNS says how many others are tried. */
const { KK_SEED, KK_PATH, KK_RUNS } = process.env;
const SEED = Number(KK_SEED ?? 20_261_121);
const RUNS = Number(KK_RUNS ?? 20_000);

t.setTimeout(900_000);

async function play(schedule: Schedule): Promise<World> {
  const world = new World(schedule);
  try {
    await world.run();
    return world;
  } catch (thrown) {
    const { message } = thrown as Error;
    throw new Error(`${message}\n${world.describe()}`, { cause: thrown });
  }
}

t.test(`${RUNS} schedules keep every promise`, async (t) => {
  const details = await fc.check(
    fc.asyncProperty(schedules, async (schedule) => {
      await play(schedule);
    }),
    { seed: SEED, numRuns: RUNS, ...(KK_PATH === undefined ? {} : { path: KK_PATH }) },
  );
  if (!details.failed) return t.pass(`seed ${SEED}`);
  const again = `KK_SEED=${SEED} KK_PATH=${details.counterexamplePath} npm test -- test/simulation/schedules.test.ts`;
  const { message } = details.errorInstance as Error;
  return t.fail(`replay it with: ${again}\n${JSON.stringify(details.counterexample?.[0])}\n${message}`);
});

const ONE_STEP: Schedule['plans'][number] = {
  nodes: 2,
  permits: 1,
  plays: [
    {
      ...{ nodes: 1, serial: 0, budget: undefined, afterAll: false },
      tasks: [
        {
          ...{ kind: 'once', needs: undefined, ignoreErrors: false, rerun: false, on: 0 },
          ...{ runOnce: false, lock: false, alone: false, permit: false },
        },
      ],
    },
  ],
};

/** The smallest schedules that once broke a promise, with what was wrong. */
const FOUND: [why: string, operations: [Operation['kind'], number, number][]][] = [
  ['a cancel overtook a push that was under way, and its steps began in a run that had ended', [['cancel', 0, 0]]],
  [
    'a push was lost with its node while the run was paused, and never given again',
    [
      ['move', 0, 0],
      ['power', 0, 0],
      ['pause', 0, 0],
    ],
  ],
  [
    'a step that waited for its disk began when the lease had run out',
    [
      ['time', 0, 1],
      ['move', 0, 0],
      ['time', 9, 0],
    ],
  ],
];
for (const [why, operations] of FOUND)
  t.test(why, () =>
    play({
      ...{ plans: [ONE_STEP], luck: 0, failing: 0 },
      operations: operations.map(([kind, a, b]) => ({ kind, a, b })),
    }),
  );

t.test('the same schedule goes the same way again, to the event', async (t) => {
  const sample = fc.sample(schedules, { seed: SEED, numRuns: 20 });
  for (const schedule of sample) {
    const [one, two] = [await play(schedule), await play(schedule)];
    t.strictSame(two.trace, one.trace);
    t.strictSame([...two.store.runs], [...one.store.runs]);
  }
});

t.test('the checks can fail: a record without its effect, an effect twice, a start without a lease', async (t) => {
  const [schedule] = fc.sample(schedules, { seed: 3, numRuns: 1 });
  if (schedule === undefined) throw new Error('no schedule');
  const world = await play({ ...schedule, plans: [ONE_STEP], failing: 0, operations: [] });
  const { judge } = await import('./model.ts');
  judge(world);
  const [effect] = world.effects.splice(0, 1);
  t.throws(() => judge(world), { message: /recorded as ok, and item 0 was never done/ });
  if (effect === undefined) throw new Error('no effect');
  world.effects.push(effect);
  const { machine, command } = effect;
  const complaints: string[] = [];
  world.trouble = (text) => complaints.push(text);
  world.commandBegins(machine, command);
  world.time.now += 1_000_000;
  world.commandBegins(machine, command);
  t.match(
    complaints.join('\n'),
    /starts after its run has ended[\s\S]*is done twice[\s\S]*after the last answered heartbeat/,
  );
});
