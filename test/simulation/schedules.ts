/** Random schedules: a plan or two, and what happens meanwhile. */
import fc from 'fast-check';
import { plans } from './plans.ts';
import { OPERATIONS, type Operation, type Schedule } from './world.ts';

/** How often each operation comes, of so many; most let the product work. */
const WEIGHTS: Record<Operation['kind'], number> = {
  move: 10,
  burst: 10,
  flow: 3,
  time: 4,
  'kill-agent': 2,
  power: 1,
  'kill-controller': 2,
  cut: 2,
  partition: 1,
  heal: 1,
  cancel: 1,
  pause: 1,
  unpause: 1,
  create: 1,
  snapshot: 1,
  'set-back': 1,
};

const operation: fc.Arbitrary<Operation> = fc.record({
  kind: fc.oneof(
    ...OPERATIONS.filter((kind) => WEIGHTS[kind] > 0).map((kind) => ({
      weight: WEIGHTS[kind],
      arbitrary: fc.constant(kind),
    })),
  ),
  a: fc.nat({ max: 30 }),
  b: fc.nat({ max: 30 }),
});

export const schedules: fc.Arbitrary<Schedule> = fc.record({
  plans: fc.oneof(
    { weight: 3, arbitrary: fc.array(plans, { minLength: 1, maxLength: 1 }) },
    { weight: 1, arbitrary: fc.array(plans, { minLength: 2, maxLength: 2 }) },
  ),
  luck: fc.nat({ max: 1000 }),
  failing: fc.constantFrom(0, 0, 1, 3),
  operations: fc.array(operation, { maxLength: 24, size: 'max' }),
});
