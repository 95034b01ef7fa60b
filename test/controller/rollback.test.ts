import fc from 'fast-check';
import t from 'tap';
import type { TaskGraph } from '../../controller/compile/graph.ts';
import { type Past, type PastStep, rollbackGraph } from '../../controller/compile/rollback.ts';
import { dependentsIn } from '../../controller/compile/rollback-edges.ts';
import { graphFromJson, graphToJson } from '../../controller/compile/serialise.ts';
import { shareOf } from '../../controller/compile/share-of.ts';
import { parsePlan } from '../../controller/plan/index.ts';
import { planJsonSchema } from '../../controller/plan/schema.ts';
import type { RunEvent } from '../../controller/run/events.ts';
import { pastOf, stepKey } from '../../controller/run/past.ts';
import { planRollback, type RollbackWish } from '../../controller/run/rollback.ts';
import { type ErrorReport, reportOf } from '../../shared/errors.ts';
import type { StepResult } from '../../shared/share.ts';
import { DONE, desk, SOURCES } from '../support/cli-desk.ts';
import { graphOf } from '../support/fake-operations.ts';
import { planOf } from '../support/line.ts';
import {
  graphFrom,
  type NeedSketch,
  type PlanSketch,
  type TaskSketch,
  taskFrom,
  waitsIn,
} from '../support/plan-builder.ts';

const ALL: RollbackWish = { tasks: [], nodes: [], withDependents: false };
const SEED = Number(process.env['KK_SEED'] ?? 1);

const fileTask = (id: string, other: object = {}): TaskSketch => ({
  id,
  action: 'file',
  inputs: { path: `/${id}`, content: '' },
  ...other,
});

/** Everything began and changed on these nodes, in plan order. */
function eventsOf(
  graph: TaskGraph,
  nodes: readonly string[],
  except: Record<string, Partial<StepResult> | 'no'> = {},
): RunEvent[] {
  const events: RunEvent[] = graph.nodes.map((_, node) => ({ kind: 'accepted', at: 0, node, revision: 1 }));
  for (const task of graph.tasks) {
    for (const node of graph.sets[task.set]?.members ?? []) {
      const other = except[`${task.key.split('/').at(-1)}@${graph.nodes[node]}`];
      if (!nodes.includes(graph.nodes[node] ?? '') || other === 'no') continue;
      events.push({ kind: 'begun', at: 0, node, task: task.index, attempt: 1, items: 0 });
      const result = { changed: true, ...other };
      events.push({ kind: 'ended', at: 0, node, task: task.index, outcome: 'ok', result, durationMs: 1 });
    }
  }
  return events;
}

function pastFrom(
  graph: TaskGraph,
  nodes = graph.nodes,
  except: Parameters<typeof eventsOf>[2] = {},
  undone = new Set<string>(),
) {
  return pastOf({ run: 'r1', graphs: [{ revision: 1, graph }], events: eventsOf(graph, nodes, except) }, undone);
}

function rolledBack(graph: TaskGraph, wish: Partial<RollbackWish> = {}, ...more: unknown[]): TaskGraph {
  const past = pastFrom(graph, ...(more as [])) as ReturnType<typeof pastFrom>;
  return planRollback(past, { ...ALL, ...wish }).graph as TaskGraph;
}

function failure(work: () => unknown): ErrorReport | undefined {
  try {
    work();
    return undefined;
  } catch (thrown) {
    return reportOf(thrown);
  }
}

t.test('every edge the other way round, on the nodes that took part', (t) => {
  const graph = graphFrom({
    nodes: ['n1', 'n2', 'n3'],
    roles: {
      base: [fileTask('a'), fileTask('b')],
      join: [
        { id: 'init', runOnce: true, inputs: { shell: 'x' } },
        fileTask('c', {
          needs: [
            { task: 'a', of: 'all' },
            { task: 'init', of: 'first' },
          ],
        }),
      ],
    },
    plays: [{ name: 'p', nodes: ['n1', 'n2', 'n3'], roles: ['base', 'join'] }],
  });
  const back = rolledBack(graph, {}, ['n1', 'n2']);
  t.equal(back.name, 'rollback of r1');
  t.same(waitsIn(back), {
    'join/c': [],
    'join/init': ['all join/c'],
    'base/b': ['same join/init'],
    'base/a': ['same base/b', 'all join/c'],
  });
  t.same(
    back.gates.map(({ id, waiters }) => `${id} for ${back.sets[waiters]?.members}`),
    ['all/0 for 0,1'],
  );
  t.same(shareOf(back, 2).tasks, [], 'who did nothing has nothing to undo');
  t.same(back.common.tasks[0]?.inputs, { run: 'r1', task: 'p/join/c' });
  const stored = graphFromJson(graphToJson(back));
  t.same(graphToJson(stored), graphToJson(back), 'the store gives back the same');
  t.end();
});

t.test('order is kept through what has nothing to undo, and past what is left out', (t) => {
  const graph = graphFrom({
    nodes: ['n1', 'n2'],
    roles: { r: [fileTask('a'), { id: 'pause', action: 'wait_for', inputs: { path: '/x' } }, fileTask('b')] },
    plays: [{ name: 'p', nodes: ['n1', 'n2'], roles: ['r'] }],
  });
  t.same(waitsIn(rolledBack(graph)), { 'r/b': [], 'r/pause': ['same r/b'], 'r/a': ['same r/pause'] });
  t.same(waitsIn(rolledBack(graph, { tasks: ['a', 'b'] })), { 'r/b': [], 'r/a': ['same r/b'] });
  t.end();
});

t.test('batches in reverse, permits and locks as they were, prechecks left out', (t) => {
  const graph = graphFrom({
    nodes: ['n1', 'n2', 'n3', 'n4'],
    roles: {
      look: [{ id: 'see', action: 'check', inputs: { rule: 'swap' } }],
      r: [
        fileTask('a', { permit: { name: 'etcd', count: 1 }, lock: 'packages' }),
        fileTask('b', { needs: [{ task: 'a', of: 'first' }] }),
      ],
    },
    plays: [
      { name: 'pre', nodes: ['n1', 'n2', 'n3', 'n4'], roles: ['look'], precheck: true },
      { name: 'p', nodes: ['n1', 'n2', 'n3', 'n4'], roles: ['r'], serial: [1, 2] },
    ],
  });
  const back = rolledBack(graph);
  const play = back.plays.find(({ name }) => name === 'p');
  t.same([...(play?.batchOf ?? [])], [2, 1, 1, 0], 'n4 was the last');
  t.notOk(back.tasks.some(({ role }) => role === 'look'));
  t.same(
    back.tasks.filter(({ key }) => key.startsWith('p/r/a')).map(({ permit }) => permit),
    [
      { name: 'etcd', count: 1 },
      { name: 'etcd', count: 1 },
    ],
    'the first node, on which all lean, is a task of its own: in batches the others must not wait',
  );
  t.same(waitsIn(back), { 'r/b': [], 'r/a': [], 'r/a@n1': ['all r/b'] });
  t.equal(back.common.tasks.find(({ key }) => key === 'p/r/a')?.lock, 'packages');
  const one = rolledBack(graph, { nodes: ['n2', 'n3'] });
  t.same(one.plays.find(({ name }) => name === 'p')?.batches, 0, 'a single batch waits for nobody');
  t.end();
});

t.test('what is chosen: --to, --task, --node; refused while something stays that depends on it', (t) => {
  const graph = graphFrom({
    nodes: ['n1', 'n2'],
    roles: { r: [fileTask('a'), fileTask('b'), fileTask('c', { needs: [{ task: 'b', of: 'all' }] })] },
    plays: [{ name: 'p', nodes: ['n1', 'n2'], roles: ['r'] }],
  });
  const past = pastFrom(graph);
  const tasksIn = (back: TaskGraph | undefined) =>
    (back?.tasks ?? []).map(({ key, set }) => `${key.slice(4)} ${back?.sets[set]?.members.join('')}`);
  t.same(tasksIn(planRollback(past, { ...ALL, to: 'a' }).graph), ['c 01', 'b 01']);
  t.same(tasksIn(planRollback(past, { ...ALL, tasks: ['p/r/c'], nodes: ['n2'] }).graph), ['c 1']);
  t.match(
    failure(() => planRollback(past, { ...ALL, nodes: ['n2'] })),
    { code: 'ROLLBACK_DEPENDENTS', message: /p\/r\/c on n1/, remedy: /--with-dependents/ },
  );
  t.same(tasksIn(planRollback(past, { ...ALL, nodes: ['n2'], withDependents: true }).graph), ['c 01', 'b 1', 'a 1']);
  const earlier = new Set(['n1', 'n2'].map((node) => stepKey('p/r/c', node)));
  t.same(
    tasksIn(planRollback(pastFrom(graph, graph.nodes, {}, earlier), { ...ALL, nodes: ['n2'] }).graph),
    ['c 1', 'b 1', 'a 1'],
    'undone before',
  );
  const unchanged = pastFrom(graph, graph.nodes, { 'c@n1': { changed: false }, 'c@n2': 'no' });
  t.equal(
    failure(() => planRollback(unchanged, { ...ALL, tasks: ['b'] })),
    undefined,
    'what changed nothing is in nobody’s way',
  );
  t.match(
    failure(() => planRollback(past, { ...ALL, tasks: ['x'] })),
    { code: 'ROLLBACK_TASK_UNKNOWN' },
  );
  t.match(
    failure(() => planRollback(past, { ...ALL, nodes: ['x'] })),
    { code: 'ROLLBACK_NODE_UNKNOWN' },
  );
  t.end();
});

t.test('commands: named as what stays, or undone by their rollback tasks with the values of then', (t) => {
  const rollback = [
    taskFrom({ id: 'leave', inputs: { shell: "leave {{ token }} {{ node('n1').secret | quote }}" } }),
    taskFrom({ id: 'wipe', inputs: { shell: 'wipe' } }),
  ];
  const sketch: PlanSketch = {
    nodes: ['n1', 'n2'],
    roles: {
      r: [
        { id: 'secret', register: { name: 'secret', type: 'string' }, inputs: { shell: 's' } },
        { id: 'join', register: { name: 'token', type: 'string' }, inputs: { shell: 'join' }, rollback },
        fileTask('after'),
        { id: 'bare', inputs: { shell: 'bare' } },
      ],
    },
    plays: [{ name: 'p', nodes: ['n1', 'n2'], roles: ['r'] }],
  };
  const graph = graphFrom(sketch);
  t.same(
    graph.common.tasks.map(({ register }) => register?.exported),
    [true, true, undefined, undefined],
    'what undoing will read travels when it is bound',
  );
  const past = pastFrom(graph, graph.nodes, {
    'secret@n1': { register: 's1' },
    'join@n1': { register: 't1' },
    'join@n2': { register: 't2', changed: false },
  });
  const { graph: back, undoes, cannot } = planRollback(past, ALL);
  t.same(
    cannot.map(({ task, nodes }) => `${task} ${nodes}`),
    ['p/r/secret n1,n2', 'p/r/bare n1,n2'],
  );
  t.same(
    undoes.map(({ task, nodes }) => `${task} ${nodes}`),
    ['p/r/after n1,n2', 'p/r/join n1'],
  );
  t.same(waitsIn(back as TaskGraph), {
    'r/bare': [],
    'r/after': ['same r/bare'],
    'r/join/rollback/leave': ['same r/after'],
    'r/join/rollback/wipe': ['same r/join/rollback/leave'],
    'r/join': ['same r/after', 'same r/join/rollback/wipe'],
    'r/secret': ['same r/join'],
  });
  t.same(shareOf(back as TaskGraph, 0).bindings, { secret: 's1', token: 't1' });
  t.match(back?.common.tasks[2]?.reads, [{ node: 'n1', register: 'secret', known: { value: 's1' } }]);
  t.notOk(shareOf(back as TaskGraph, 1).tasks.includes(2), 'where it changed nothing, nothing is undone');
  t.match(back?.common.tasks[4]?.inputs, { task: 'p/r/join', replaced: true });
  t.end();
});

t.test('in a plan: what a rollback task may say; undo is not for authors', (t) => {
  const problemsOf = (tasks: string) => {
    const parsed = parsePlan({
      plan: 'p',
      texts: { p: planOf(['n1'], `        - {name: p, hosts: all, tasks: [${tasks}]}`) },
    });
    return 'problems' in parsed ? parsed.problems.map(({ code, message }) => `${code} ${message}`) : [];
  };
  const undone = (rollback: string) => `{name: a, command: x, register: r, vars: {v: 1}, rollback: [${rollback}]}`;
  t.same(
    problemsOf(
      undone('{command: "undo {{ r.stdout }} {{ v }}", when: "r.rc == 0"}, {file: {path: /x, state: absent}}'),
    ),
    [],
  );
  t.match(problemsOf(undone('{command: "{{ nowhere }}"}')), [/PLAN_UNDEFINED_VARIABLE/]);
  t.match(problemsOf(undone('{command: x, needs: []}')), [/PLAN_NOT_YET "needs" is not supported in a rollback task/]);
  t.match(problemsOf(undone('{command: x, rollback: [{command: y}]}')), [
    /"rollback" is not supported in a rollback task/,
  ]);
  t.match(problemsOf('{undo: {run: x, task: y}}'), [/PLAN_UNKNOWN_ACTION There is no action or task word "undo"/]);
  t.match(problemsOf('{action: undo, with: {run: x, task: y}}'), [/PLAN_UNKNOWN_ACTION/]);
  t.notOk(JSON.stringify(planJsonSchema()).includes('"undo"'));
  t.end();
});

t.test('over revisions: by key, whatever the index; a node out of sight may have done anything', (t) => {
  const roles = { r: [fileTask('a'), fileTask('b')] };
  const plays = [{ name: 'p', nodes: ['n1', 'n2'], roles: ['r'] }];
  const first = graphFrom({ nodes: ['n1', 'n2'], roles, plays });
  const second = graphFrom({ nodes: ['n1', 'n2'], roles: { r: [fileTask('new'), fileTask('b')] }, plays });
  const kept = { changed: false, kept: true as const };
  const events: RunEvent[] = [
    ...eventsOf(first, ['n1']),
    { kind: 'revised', at: 0, revision: 2, by: '', how: 'resume', rerun: [], skip: [], permits: [] },
    { kind: 'accepted', at: 0, node: 1, revision: 2 },
    { kind: 'begun', at: 0, node: 0, task: 1, attempt: 1, items: 0 },
    { kind: 'ended', at: 0, node: 0, task: 1, outcome: 'ok', result: kept, durationMs: 0 },
    { kind: 'given_up', at: 0, node: 1, error: { code: 'X', message: '', remedy: '' } },
  ];
  const past = pastOf(
    {
      run: 'r1',
      graphs: [
        { revision: 1, graph: first },
        { revision: 2, graph: second },
      ],
      events,
    },
    new Set(),
  );
  const { undoes, cannot } = planRollback(past, ALL);
  t.same(
    undoes.map(({ task, nodes }) => `${task} ${nodes}`),
    ['p/r/b n1,n2', 'p/r/new n2'],
  );
  t.match(cannot, [{ task: 'p/r/a', nodes: ['n1'], why: /later revision/ }]);
  t.end();
});

/** Steps as `task@node`, and what each waits for directly, batches taken part. */
function stepEdges(graph: TaskGraph): Map<string, string[]> {
  const members = (task: number): readonly number[] => graph.sets[graph.tasks[task]?.set ?? -1]?.members ?? [];
  const edges = new Map<string, string[]>();
  for (const { index, play } of graph.tasks) {
    const { batchOf } = graph.plays[play] ?? {};
    for (const node of members(index)) {
      const on: string[] = [];
      for (const need of graph.common.tasks[index]?.needs ?? []) {
        if ('task' in need) {
          if (members(need.task).includes(node)) on.push(`${need.task}@${node}`);
          continue;
        }
        const [, task] = /^all\/(\d+)$/.exec(need.gate) ?? [];
        for (const other of members(Number(task))) on.push(`${task}@${other}`);
      }
      const batch = batchOf?.[node] ?? -1;
      for (const other of graph.tasks.filter((task) => batch > 0 && task.play === play))
        for (const at of members(other.index)) if (batchOf?.[at] === batch - 1) on.push(`${other.index}@${at}`);
      edges.set(`${index}@${node}`, on);
    }
  }
  return edges;
}

/** Everything a step leads to; undefined: to itself. */
function reachable(edges: Map<string, string[]>): Map<string, Set<string>> | undefined {
  const known = new Map<string, Set<string>>();
  const path = new Set<string>();
  const visit = (step: string): Set<string> | undefined => {
    const found = known.get(step);
    if (found) return found;
    if (path.has(step)) return undefined;
    path.add(step);
    const all = new Set<string>();
    for (const next of edges.get(step) ?? []) {
      const below = visit(next);
      if (!below) return undefined;
      all.add(next);
      for (const one of below) all.add(one);
    }
    path.delete(step);
    known.set(step, all);
    return all;
  };
  for (const step of edges.keys()) if (!visit(step)) return undefined;
  return known;
}

const OF = ['same', 'all', 'first', 'any'] as const;

const plans = fc.record({
  nodes: fc.integer({ min: 1, max: 4 }),
  plays: fc.array(
    fc.record({
      nodes: fc.integer({ min: 1, max: 15 }),
      serial: fc.option(fc.array(fc.integer({ min: 1, max: 3 }), { minLength: 1, maxLength: 2 })),
      afterAll: fc.boolean(),
      tasks: fc.array(
        fc.record({
          runOnce: fc.boolean(),
          needs: fc.option(fc.array(fc.tuple(fc.nat(20), fc.constantFrom(...OF)), { maxLength: 3 })),
        }),
        { minLength: 1, maxLength: 4 },
      ),
    }),
    { minLength: 1, maxLength: 3 },
  ),
  /** Bits: nodes that take part; tasks that are chosen. */
  part: fc.nat(15),
  tasks: fc.option(fc.nat(0xfff)),
});

t.test('in any graph no undo begins before the undo of all that depends on it, and none waits for itself', (t) => {
  let judged = 0;
  fc.assert(
    fc.property(plans, (shape) => {
      const nodes = Array.from({ length: shape.nodes }, (_, i) => `n${i}`);
      const ids: string[] = [];
      const sketch: PlanSketch = { nodes, roles: {}, plays: [] };
      for (const [number, play] of shape.plays.entries()) {
        const own = nodes.filter((_, i) => (play.nodes >> i) & 1);
        sketch.roles[`r${number}`] = play.tasks.map(({ runOnce, needs }, at) => {
          const known = [...ids];
          ids.push(`t${number}x${at}`);
          const stated = needs?.flatMap(([to, of]): NeedSketch[] =>
            known.length === 0 ? [] : [{ task: known[to % known.length] as string, of }],
          );
          return fileTask(`t${number}x${at}`, { runOnce, ...(stated ? { needs: stated } : {}) });
        });
        const { serial, afterAll } = play;
        sketch.plays.push({
          name: `p${number}`,
          nodes: own,
          roles: [`r${number}`],
          afterAll,
          ...(serial ? { serial } : {}),
        });
      }
      let graph: TaskGraph;
      try {
        graph = graphFrom(sketch);
      } catch {
        return;
      }
      const partial = graph.nodes.some((_, i) => !((shape.part >> i) & 1)) || shape.tasks !== null;
      const isSerial = graph.plays.some(({ batches }) => batches > 1);
      const chosen = graph.tasks.map(({ index, set }) => {
        const isChosen = shape.tasks === null || (shape.tasks >> index) & 1;
        const members = graph.sets[set]?.members ?? [];
        return new Set(isChosen ? members.filter((node) => (shape.part >> node) & 1) : []);
      });
      const step: PastStep = { applied: true, lost: [] };
      const firstOk = (task: number): number | undefined => {
        const batchOf = graph.plays[graph.tasks[task]?.play ?? 0]?.batchOf;
        const members = graph.sets[graph.tasks[task]?.set ?? 0]?.members ?? [];
        return [...members].sort((a, b) => (batchOf?.[a] ?? 0) - (batchOf?.[b] ?? 0))[0];
      };
      const past: Past = { run: 'r', graph, step: () => step, firstOk };
      const back = rollbackGraph(past, chosen, dependentsIn(past));
      const found = reachable(stepEdges(back));
      if (!found) throw new Error('an undo waits for itself');
      judged += 1;

      // What depends on what, step by step, as the run itself had it.
      const original = new Map<string, string[]>();
      for (const task of graph.tasks) {
        for (const node of graph.sets[task.set]?.members ?? []) {
          const on = task.edges.flatMap(({ task: target, of }) => {
            const members = graph.sets[graph.tasks[target]?.set ?? -1]?.members ?? [];
            if (of === 'same') return members.includes(node) ? [`${target}@${node}`] : [];
            if (of === 'all') return members.map((member) => `${target}@${member}`);
            const one = of === 'first' ? members[0] : firstOk(target);
            return one === undefined ? [] : [`${target}@${one}`];
          });
          original.set(`${task.index}@${node}`, on);
        }
      }
      // In batches, order through what is left out may be impossible.
      const leans = isSerial && partial ? original : reachable(original);
      const undoAt = new Map<string, string>();
      for (const task of back.tasks) {
        const { task: key } = { task: '', ...(back.common.tasks[task.index]?.inputs as object) };
        const index = graph.tasks.find((other) => other.key === key)?.index;
        for (const node of back.sets[task.set]?.members ?? []) undoAt.set(`${index}@${node}`, `${task.index}@${node}`);
      }
      for (const [later, earlier] of leans ?? []) {
        const undoLater = undoAt.get(later);
        for (const one of earlier) {
          const undoEarlier = undoAt.get(one);
          if (undoLater === undefined || undoEarlier === undefined) continue;
          if (!found.get(undoEarlier)?.has(undoLater))
            throw new Error(`the undo of ${one} does not wait for that of ${later}`);
        }
      }
    }),
    { numRuns: 1500, seed: SEED },
  );
  t.ok(judged > 500, `${judged} graphs judged`);
  t.end();
});

t.test('the command tells what it will undo and what it cannot, then asks', async (t) => {
  const { run, operations, plan } = await desk(t);
  operations.undoing = {
    undoes: [{ task: 'p/r/config', nodes: ['cp1', 'w1'], why: 'from the undo journal of the node' }],
    cannot: [{ task: 'p/r/join', nodes: ['w1'], why: 'command: only rollback tasks can undo it' }],
  };
  const record = {
    id: 'r2',
    name: 'rollback of r1',
    kind: 'plan',
    status: 'done',
    revision: 1,
    createdMs: 0,
    by: 'ada',
  } as const;
  operations.next = { record: { ...record, endedMs: 1 }, graph: graphOf(SOURCES), events: DONE };

  const unasked = await run(['rollback', 'r1']);
  t.match(unasked, { code: 1, err: /nobody|no terminal/, out: /p\/r\/config on cp1, w1/ });
  t.match(unasked.out, /CANNOT undo.*\n {2}p\/r\/join on w1/);
  t.match(unasked.err, /--yes/);
  const questions: string[] = [];
  const ask = (answer: string) => async (question: string) => {
    questions.push(question);
    return answer;
  };
  t.match(await run(['rollback', 'r1'], { ask: ask('n') }), { code: 4, err: /Nothing was undone/ });
  t.notOk(
    operations.asked.some((asked) => (asked as { start?: boolean }).start),
    'nothing has begun',
  );
  t.match(await run(['rollback', 'r1', '--detach'], { ask: ask('y') }), { code: 0, out: /run r2 undoes it/ });
  t.match(questions, [/of run r1\?/, /of run r1\?/]);
  t.match(await run(['rollback', 'r1', '--yes']), { code: 0 }, 'followed to its end');
  await run(['rollback', 'r1', '--task', 'a,b', '--node', 'w1', '--with-dependents', '--yes', '-o', 'json']);
  t.match(operations.asked.at(-1), {
    rollback: 'r1',
    tasks: ['a', 'b'],
    nodes: ['w1'],
    withDependents: true,
    start: true,
  });
  t.match(await run(['rollback', '--to', 'a', '--task', 'b']), { code: 1, err: /exclude each other/ });
  operations.undoing = { undoes: [], cannot: [] };
  t.match(await run(['rollback']), { code: 0, out: /nothing is left/ });

  const applied = await run(['apply', plan, '--auto-rollback', '--detach']);
  t.match(applied, { code: 0, err: /no rollback tasks\):\n {2}install\/install\/join/ });
  t.match(operations.asked.at(-1), { options: { autoRollback: true } });
});
