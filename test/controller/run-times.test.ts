/** Where the time of a run went: the longest chain of steps that had to follow each other, and what it took beyond that. */
import t from 'tap';
import { timeLines } from '../../controller/cli/output/times-text.ts';
import type { TaskGraph } from '../../controller/compile/graph.ts';
import type { RunEvent } from '../../controller/run/events.ts';
import { runTimes } from '../../controller/views/run-times.ts';
import type { RunView } from '../../controller/views/types.ts';
import { graphFrom } from '../support/plan-builder.ts';
import { roleGraph, taskOf } from '../support/role-graph.ts';

const NODES = ['n0', 'n1'];

/** A run's events from `task@node begin-end` in seconds, in the order of their ends. */
function events(graph: TaskGraph, work: readonly string[], end: number, more: readonly RunEvent[] = []): RunEvent[] {
  const steps = work.map((text) => {
    const [, key = '', name = '', from, until] = /^(\S+)@(\S+) (\d+)-(\d+)$/.exec(text) ?? [];
    const task = graph.tasks.findIndex((known) => known.key === key);
    return { task, node: graph.nodes.indexOf(name), from: Number(from) * 1000, until: Number(until) * 1000 };
  });
  const told = steps.flatMap(({ task, node, from, until }): RunEvent[] => [
    ...more.filter((event) => event.at === from),
    { kind: 'begun', at: from, node, task, attempt: 1, items: 0 },
    { kind: 'ended', at: until, node, task, outcome: 'ok', result: { changed: true }, durationMs: until - from },
  ]);
  return [{ kind: 'started', at: 0 }, ...told, { kind: 'finished', at: end * 1000, status: 'done' }];
}

const pathOf = (graph: TaskGraph, told: readonly RunEvent[]): string[] | undefined =>
  runTimes(graph, told)?.path.map(({ node, task, ms }) => `${task} ${node} ${ms / 1000}`);

t.test('plays, the critical path across nodes, and the rest', async (t) => {
  const graph = graphFrom({
    nodes: NODES,
    roles: { a: ['x', 'y'], b: [{ id: 'z', needs: [{ role: 'a', of: 'all' }] }] },
    plays: [
      { name: 'first', nodes: NODES, roles: ['a'] },
      { name: 'second', nodes: NODES, roles: ['b'] },
    ],
  });
  const work = ['first/a/x@n0 0-2', 'first/a/x@n1 0-1', 'first/a/y@n1 1-9', 'first/a/y@n0 2-3'];
  const told = events(graph, [...work, 'second/b/z@n1 10-11', 'second/b/z@n0 10-15'], 16);
  t.strictSame(pathOf(graph, told), ['first/a/x n1 1', 'first/a/y n1 8', 'second/b/z n0 5']);
  const times = runTimes(graph, told);
  t.match(times, { makespanMs: 16_000, pathMs: 14_000, overhead: 0.125 });
  t.strictSame(times?.plays, [
    { play: 'first', fromMs: 0, untilMs: 9_000 },
    { play: 'second', fromMs: 10_000, untilMs: 15_000 },
  ]);
  t.strictSame(timeLines({ times } as RunView), [
    'PLAY    TOOK  FROM  UNTIL',
    'first   9s    0ms   9s',
    'second  5s    10s   15s',
    'Critical path: 14s of 16s in 3 steps, most of it first/a/y on n1 (8s); 12.5 % beyond it.',
  ]);
  t.equal(runTimes(graph, told.slice(0, -1)), undefined, 'a run at work has no such table');
});

t.test('who waits for a permit waits for those who had it', async (t) => {
  const graph = graphFrom({
    nodes: NODES,
    roles: { a: [{ id: 'x', permit: { name: 'p', count: 1 } }] },
    plays: [{ name: 'p', nodes: NODES, roles: ['a'] }],
  });
  const grant = (at: number, node: number): RunEvent => ({ kind: 'permit_granted', at: at * 1000, node, task: 0 });
  const told = events(graph, ['p/a/x@n0 0-4', 'p/a/x@n1 5-9'], 10, [grant(0, 0), grant(5, 1)]);
  t.strictSame(pathOf(graph, told), ['p/a/x n0 4', 'p/a/x n1 4']);
});

t.test('a block that waits for a permit, and a batch for the one before', async (t) => {
  const tasks = '- {id: b, permit: {name: p, count: 1}, block: [{id: x, command: x}]}\n- {id: y, command: y}\n';
  const graph = roleGraph(tasks, { nodes: NODES });
  const block = taskOf(graph, 'b');
  const grant = (at: number, node: number): RunEvent => ({ kind: 'permit_granted', at: at * 1000, node, task: block });
  const work = ['p/r/x@n0 0-4', 'p/r/b@n0 0-4', 'p/r/x@n1 4-9', 'p/r/y@n0 4-5', 'p/r/b@n1 4-9', 'p/r/y@n1 9-10'];
  const told = events(graph, work, 10, [grant(0, 0), grant(4, 1)]);
  t.strictSame(pathOf(graph, told), ['p/r/x n0 4', 'p/r/x n1 5', 'p/r/y n1 1']);

  const nodes = ['n0', 'n1', 'n2'];
  const batches = graphFrom({
    nodes,
    roles: { a: ['x', 'y'] },
    plays: [{ name: 'p', nodes, roles: ['a'], serial: [2, 1] }],
  });
  const first = ['p/a/x@n0 0-2', 'p/a/x@n1 0-3', 'p/a/y@n1 3-4', 'p/a/y@n0 2-6'];
  const serial = events(batches, [...first, 'p/a/x@n2 6-8', 'p/a/y@n2 8-9'], 10);
  t.strictSame(pathOf(batches, serial), ['p/a/x n0 2', 'p/a/y n0 4', 'p/a/x n2 2', 'p/a/y n2 1']);
  t.match(runTimes(batches, serial), { pathMs: 9_000, overhead: 0.1 });
});

t.test('an agent that is put there first is no overhead, and kept steps took no time', async (t) => {
  const graph = graphFrom({
    nodes: ['n0'],
    roles: { a: ['x', 'y'] },
    plays: [{ name: 'p', nodes: ['n0'], roles: ['a'] }],
  });
  const [started, ...rest] = events(graph, ['p/a/x@n0 6-7', 'p/a/y@n0 7-9'], 10);
  const joined: RunEvent[] = [
    { kind: 'bootstrap', at: 100, node: 0, phase: 'connecting' },
    { kind: 'accepted', at: 6_000, node: 0, revision: 1 },
  ];
  const told = [started as RunEvent, ...joined, ...rest];
  t.match(runTimes(graph, told), { pathMs: 9_000, makespanMs: 10_000 });
  const kept = told.map((event) =>
    event.kind === 'ended' && event.task === 0 ? { ...event, result: { ...event.result, kept: true as const } } : event,
  );
  t.match(runTimes(graph, kept), { pathMs: 8_000 });
});
