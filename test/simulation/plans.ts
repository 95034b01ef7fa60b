/** Small random plans: everything that a plan can say about order, as values, for fast-check. */
import fc from 'fast-check';
import { compile, DEFAULT_COMPILE_OPTIONS } from '../../controller/compile/compile.ts';
import type { TaskGraph } from '../../controller/compile/graph.ts';
import { type PlanSketch, type PlaySketch, planFrom, type TaskSketch } from '../support/plan-builder.ts';

export const NODES = ['n0', 'n1', 'n2', 'n3'];

/** What a task does. `once` may not be repeated; `creates` and `file` may. */
const KINDS = ['once', 'creates', 'file', 'loop', 'retry', 'wait', 'skipped', 'reader'] as const;

export interface TaskChoice {
  kind: (typeof KINDS)[number];
  /** undefined: its predecessor; else back by so many tasks, through such edges. */
  needs: { back: number; of: 'same' | 'all' | 'first' | 'any' }[] | undefined;
  ignoreErrors: boolean;
  rerun: boolean;
  /** Runs on this node only; 0: where its play does. */
  on: number;
  runOnce: boolean;
  lock: boolean;
  alone: boolean;
  permit: boolean;
}

export interface PlayChoice {
  /** Bits: which nodes. */
  nodes: number;
  /** 0: all at once. */
  serial: number;
  /** undefined: none stated. */
  budget: number | undefined;
  afterAll: boolean;
  tasks: TaskChoice[];
}

export interface PlanChoice {
  nodes: number;
  permits: number;
  plays: PlayChoice[];
}

const seldom = (weight: number): fc.Arbitrary<boolean> =>
  fc.nat({ max: weight - 1 }).map((number) => number === weight - 1);

const need = fc.record({
  back: fc.integer({ min: 1, max: 6 }),
  of: fc.constantFrom('same', 'all', 'first', 'any') as fc.Arbitrary<'same' | 'all' | 'first' | 'any'>,
});

const task: fc.Arbitrary<TaskChoice> = fc.record({
  kind: fc.oneof(
    { weight: 6, arbitrary: fc.constant('once' as const) },
    { weight: 6, arbitrary: fc.constantFrom(...KINDS) },
  ),
  needs: fc.oneof(
    { weight: 2, arbitrary: fc.constant(undefined) },
    { weight: 1, arbitrary: fc.array(need, { maxLength: 2 }) },
  ),
  ignoreErrors: seldom(6),
  rerun: seldom(6),
  on: fc.oneof({ weight: 6, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.integer({ min: 1, max: 4 }) }),
  runOnce: seldom(8),
  lock: seldom(5),
  alone: seldom(8),
  permit: seldom(4),
});

const play: fc.Arbitrary<PlayChoice> = fc.record({
  nodes: fc.integer({ min: 1, max: 15 }),
  serial: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.integer({ min: 1, max: 2 }) }),
  budget: fc.oneof(
    { weight: 3, arbitrary: fc.constant(undefined) },
    { weight: 1, arbitrary: fc.constantFrom(0, 40, 100) },
  ),
  afterAll: seldom(4),
  tasks: fc.array(task, { minLength: 1, maxLength: 4 }),
});

export const plans: fc.Arbitrary<PlanChoice> = fc.record({
  nodes: fc.constantFrom(2, 2, 2, 3, 3, 4),
  permits: fc.integer({ min: 1, max: 2 }),
  plays: fc.array(play, { minLength: 1, maxLength: 2 }),
});

/** The graph, by the real compiler. Where stated needs or batches lead into a cycle there are none. */
export function graphOf(plan: PlanChoice): TaskGraph {
  const problems: string[] = [];
  for (const [hasNeeds, hasBatches] of [
    [true, true],
    [false, true],
    [false, false],
  ] as const) {
    const compiled = compile(planFrom(sketchOf(plan, hasNeeds, hasBatches)), DEFAULT_COMPILE_OPTIONS);
    if ('graph' in compiled) return compiled.graph;
    problems.push(...compiled.problems.map(({ message }) => message));
  }
  throw new Error(problems.join('\n'));
}

function sketchOf(plan: PlanChoice, hasNeeds: boolean, hasBatches: boolean): PlanSketch {
  const nodes = NODES.slice(0, plan.nodes);
  const roles: Record<string, TaskSketch[]> = {};
  const before: string[] = [];
  let register: string | undefined;
  const plays = plan.plays.map((choice, at): PlaySketch => {
    const mine = nodes.filter((_, index) => (choice.nodes >> index) & 1);
    const members = mine.length === 0 ? nodes.slice(0, 1) : mine;
    const name = `p${at}`;
    roles[name] = choice.tasks.map((one, index): TaskSketch => {
      const id = `${name}t${index}`;
      const on = one.on === 0 ? undefined : nodes[(one.on - 1) % nodes.length];
      const isReader = one.kind === 'reader' && register !== undefined;
      const sketch: TaskSketch = {
        id,
        ...actionOf(one, id, isReader ? register : undefined),
        ignoreErrors: one.ignoreErrors,
        onInterrupt: one.rerun ? 'rerun' : 'fail',
        runOnce: one.runOnce,
        ...(on === undefined ? {} : { on: [on] }),
        ...(one.lock ? { lock: 'l' } : {}),
        alone: one.alone,
        ...(one.permit ? { permit: { name: 'p', count: plan.permits } } : {}),
      };
      if (hasNeeds && one.needs !== undefined) {
        sketch.needs = one.needs.flatMap(({ back, of }) => {
          const target = before.at(-back);
          return target === undefined ? [] : [{ task: target, of }];
        });
      }
      before.push(id);
      // Readers read from where a task surely runs.
      if (one.kind === 'once' && !one.ignoreErrors) {
        sketch.register = { name: `r${id}`, type: 'string' };
        register = `node('${on ?? members[0]}').r${id}`;
      }
      return sketch;
    });
    return {
      name,
      nodes: members,
      roles: [name],
      serial: choice.serial === 0 || !hasBatches ? undefined : [choice.serial],
      maxFailPercentage: choice.budget,
      afterAll: choice.afterAll,
    };
  });
  return { nodes, roles, plays };
}

type Action = Partial<Pick<Exclude<TaskSketch, string>, 'action' | 'inputs' | 'loop' | 'retries' | 'delay' | 'when'>>;

function actionOf({ kind }: TaskChoice, id: string, read: string | undefined): Action {
  switch (kind) {
    case 'creates':
      return { inputs: { argv: ['make', `creates=/made/${id}`], creates: `/made/${id}` } };
    case 'file':
      return { action: 'file', inputs: { path: `/files/${id}`, content: id } };
    case 'loop':
      return { inputs: { argv: ['loop', id, '{{ item }}'] }, loop: ['a', 'b'] };
    case 'retry':
      return { inputs: { argv: ['retry', id] }, retries: 1, delay: 3 };
    case 'wait':
      // Nobody makes the other one: it times out.
      return {
        action: 'wait_for',
        inputs: { path: `/files/${id}`, state: 'absent', timeout_seconds: 30, interval_seconds: 5 },
      };
    case 'skipped':
      return { inputs: { argv: ['skipped', id] }, when: ['1 == 2'] };
    default:
      return { inputs: { argv: ['once', id, ...(read === undefined ? [] : [`{{ ${read} }}`])] } };
  }
}
