import fc from 'fast-check';
import t from 'tap';
import { play, prove, SEED } from './prove.ts';
import { schedules } from './schedules.ts';
import type { Operation, Schedule } from './world.ts';

prove(t, 'schedules', 0);

type Task = Schedule['plans'][number]['plays'][number]['tasks'][number];

const STEP: Task = {
  ...{ kind: 'once', needs: undefined, ignoreErrors: false, rerun: false, on: 0 },
  ...{ runOnce: false, lock: false, alone: false, permit: false },
};

/** These tasks, one after another on the first of two nodes. */
function planOf(...tasks: Task[]): Schedule['plans'][number] {
  const play = { nodes: 1, serial: 0, budget: undefined, afterAll: false, tasks };
  return { nodes: 2, permits: 1, plays: [play] };
}

const ONE_STEP = planOf(STEP);

/** The smallest schedules that once broke a promise, with what was wrong. */
const FOUND: [why: string, plan: Schedule['plans'][number], operations: [Operation['kind'], number, number][]][] = [
  [
    'a cancel overtook a push that was under way, and its steps began in a run that had ended',
    ONE_STEP,
    [['cancel', 0, 0]],
  ],
  [
    'a push was lost with its node while the run was paused, and never given again',
    ONE_STEP,
    [
      ['move', 0, 0],
      ['power', 0, 0],
      ['pause', 0, 0],
    ],
  ],
  [
    'a step that waited for its disk began when the lease had run out',
    ONE_STEP,
    [
      ['time', 0, 1],
      ['move', 0, 0],
      ['time', 9, 0],
    ],
  ],
  [
    'a node was installed anew, and the permit of a step it had done before was never given again',
    planOf({ ...STEP, permit: true }, STEP),
    [
      ['time', 0, 1],
      ['burst', 0, 0],
      ['set-back', 0, 0],
    ],
  ],
  [
    'a permit of the revision before was told again, and given back all the same: two could hold it',
    planOf(STEP, { ...STEP, permit: true }),
    [
      ['time', 0, 4],
      ['burst', 0, 0],
      ['set-back', 0, 0],
    ],
  ],
  [
    'a command was ended before its cancel was on disk: after a power cut it had failed, and nobody knew why',
    planOf(STEP, { ...STEP, needs: [] }, STEP),
    [
      ['cut', 15, 12],
      ['burst', 0, 10],
      ['cancel', 0, 0],
      ['burst', 3, 25],
      ['burst', 27, 18],
      ['move', 0, 0],
      ['burst', 7, 26],
      ['power', 0, 0],
    ],
  ],
  [
    'a disk was set back, the controller was killed, and by then the journal was as long as before: news were not taken',
    planOf({ ...STEP, needs: [] }),
    [
      ['snapshot', 0, 0],
      ['burst', 0, 0],
      ['set-back', 0, 0],
      ['cancel', 0, 0],
      ['burst', 0, 0],
      ['burst', 0, 0],
      ['kill-controller', 0, 0],
    ],
  ],
  [
    'a disk was set back, and what the agent ended there by itself made the journal as long as before: news were not taken',
    planOf({ ...STEP, needs: [] }, STEP),
    [
      ['burst', 0, 0],
      ['snapshot', 0, 0],
      ['pause', 0, 0],
      ['flow', 0, 0],
      ['set-back', 0, 0],
    ],
  ],
];
for (const [why, plan, operations] of FOUND)
  t.test(why, () =>
    play({
      ...{ plans: [plan], luck: 0, failing: 0 },
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
