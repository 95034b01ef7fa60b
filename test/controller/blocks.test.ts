import t from 'tap';
import type { Colors } from '../../controller/cli/output/colors.ts';
import { explainLines } from '../../controller/cli/output/explain-text.ts';
import { graphFromJson, graphToJson } from '../../controller/compile/serialise.ts';
import { applyEvent } from '../../controller/run/apply-event.ts';
import { decide, decideEnd, permitsToGrant, wishPermit } from '../../controller/run/decide.ts';
import type { RunEvent } from '../../controller/run/events.ts';
import { newRunState } from '../../controller/run/state.ts';
import { explain } from '../../controller/views/explain.ts';
import type { StepOutcome } from '../../shared/lifecycle.ts';
import { Common } from '../../shared/share.ts';
import { nodesOf, waitsIn } from '../support/plan-builder.ts';
import { compileRole, roleGraph, taskOf } from '../support/role-graph.ts';

const UPGRADE = `- {id: before, debug: a}
- id: upgrade
  permit: drain
  when: node_name != 'cp1'
  block:
    - {id: drain, debug: b, run_once: true}
    - {id: kubelet, debug: c}
    - id: inner
      block: [{id: deep, debug: d, tags: deep}]
  rescue:
    - {id: restore, debug: e}
    - {id: tell, debug: f, needs: []}
  always:
    - {id: uncordon, debug: g, on: worker}
- {id: last, debug: h, needs: [{task: upgrade, of: all}]}
`;

t.test('a block is one task to those outside, and inside each part has an order of its own', async (t) => {
  const graph = roleGraph(UPGRADE);
  t.strictSame(waitsIn(graph), {
    'r/before': [],
    'r/upgrade': ['same r/before'],
    'r/drain': [],
    'r/kubelet': ['all r/drain'],
    'r/inner': ['same r/kubelet'],
    'r/deep': [],
    'r/restore': [],
    'r/tell': [],
    'r/uncordon': [],
    'r/last': ['all r/upgrade'],
    's/after': ['same r/upgrade', 'same r/last'],
  });
  const upgrade = graph.tasks[1];
  t.match(upgrade, { action: 'block', permit: { name: 'drain', count: 1 } });
  const within = graph.common.tasks.map((spec) => spec.within);
  t.strictSame(within.slice(0, 10), [
    undefined,
    undefined,
    { block: 1, part: 'block' },
    { block: 1, part: 'block' },
    { block: 1, part: 'block' },
    { block: 4, part: 'block' },
    { block: 1, part: 'rescue' },
    { block: 1, part: 'rescue' },
    { block: 1, part: 'always' },
    undefined,
  ]);
  t.strictSame(nodesOf(graph, 'r/drain'), ['w1'], 'run_once: the first node for which the block would run');
  t.strictSame(nodesOf(graph, 'r/uncordon'), ['w1', 'w2']);
  t.strictSame(
    graph.common.tasks.map(({ when }) => when.length),
    [0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    'the condition is asked once, of the block',
  );
  t.ok(
    graph.tasks[8]?.edges.some(({ task }) => task === 6),
    'the order of the parts is an order of the graph, for whoever goes it backwards',
  );
  t.ok(Common.safeParse(JSON.parse(JSON.stringify(graph.common))).success, 'agents can read it');
  t.equal(graphToJson(graphFromJson(graphToJson(graph))), graphToJson(graph));
});

t.test('plan shows blocks as they were written', async (t) => {
  const plain = new Proxy({}, { get: () => (text: string) => text }) as Colors;
  const lines = explainLines(explain(roleGraph(UPGRADE.replace('debug: d, tags: deep', 'debug: d, needs: []'))), plain);
  t.strictSame(lines.slice(4, 15), [
    '     debug [debug]',
    '     block [block]; if its condition holds; 1 at a time (drain)',
    '         debug [debug]; on w1',
    '         debug [debug]; after "debug" on all of its nodes',
    '         block [block]',
    '             debug [debug]',
    '       rescue',
    '         debug [debug]',
    '         debug [debug]',
    '       always',
    '         debug [debug]; on w1, w2',
  ]);
});

t.test('tags: a block takes part with those of its tasks that do', async (t) => {
  t.strictSame(Object.keys(waitsIn(roleGraph(UPGRADE, { tags: ['deep'] }))), ['r/upgrade', 'r/inner', 'r/deep']);
  t.strictSame(
    Object.keys(
      waitsIn(roleGraph('- {tags: x, block: [{id: a, debug: a}], always: [{id: b, debug: b}]}\n', { tags: ['x'] })),
    ),
    ['r/block', 'r/a', 'r/b'],
  );
});

t.test('what a block hides, and what would never end', async (t) => {
  const block = (inner: string, rest: string) =>
    `- id: b\n  block:\n    - {id: in, debug: a}\n${inner}  rescue:\n    - {id: out, debug: b}\n${rest}`;
  t.match(compileRole(block('', '- {debug: c, needs: [in]}\n')), [
    /^6:22 GRAPH_NEED_HIDDEN .*needs "in", which is in a part of the block "block"/,
  ]);
  t.match(
    compileRole(block('', '    - {debug: c, needs: [in]}\n')),
    [/^6:26 GRAPH_NEED_HIDDEN/],
    'nor from another part',
  );
  t.match(compileRole(block('    - {debug: c, needs: [b]}\n', '')), [
    /GRAPH_NEED_HIDDEN .*the block "b" that it is in/,
  ]);
  t.match(
    compileRole(block('    - {debug: c, needs: [late]}\n', '- {id: late, debug: d}\n')),
    [/GRAPH_CYCLE .*p\/r\/b -> needs -> p\/r\/debug -> needs -> p\/r\/late -> needs -> p\/r\/b/],
    'a block comes after all that is in it',
  );
  t.match(compileRole('- id: b\n  on: cp1\n  block:\n    - {id: far, debug: a, on: [w1]}\n'), [
    /^4:7 GRAPH_BLOCK_NODES Task "debug" runs on w1, where its block "block" does not/,
  ]);
  t.type(compileRole(block('    - {id: c, debug: c, needs: [{task: in, of: all}]}\n', '')), 'object');
  const outer = compileRole(`- {id: x, debug: a}\n${block('    - {id: c, debug: c, needs: [in, x]}\n', '')}`);
  t.notOk(Array.isArray(outer), 'a task in a block may need what is beside it or beside the block');
  t.match(compileRole(block('', ''), { play: 'serial: 1' }), Object, 'batches');
});

const BROKEN = { error: { code: 'BROKEN', message: 'a part broke', remedy: '' } };

/** A run of a role over cp1 (0), w1 (1), w2 (2), with the words of its events. */
function running(tasks: string, play?: string) {
  const graph = roleGraph(tasks, play === undefined ? {} : { play });
  const state = newRunState(graph);
  const apply = (...events: RunEvent[]): void => {
    for (const event of events) applyEvent(state, event);
  };
  apply({ kind: 'started', at: 0 });
  decide(state);
  const begin = (id: string, ...nodes: number[]): void => {
    for (const node of nodes) apply({ kind: 'begun', at: 0, node, task: taskOf(graph, id), attempt: 1, items: 0 });
  };
  const end = (id: string, nodes: number[], outcome: StepOutcome = 'ok'): void => {
    const result = { changed: false, ...(outcome === 'failed' ? BROKEN : {}) };
    for (const node of nodes)
      apply({ kind: 'ended', at: 0, node, task: taskOf(graph, id), outcome, result, durationMs: 1 });
  };
  const block = (ids: string[], node: number): void => {
    apply({ kind: 'blocked', at: 0, node, tasks: ids.map((id) => taskOf(graph, id)), cause: 'why', cancelled: false });
  };
  const told = (): string[] =>
    decide(state).map(({ nodes, decision }) => {
      const what = 'gate' in decision ? ` ${decision.gate}` : '';
      return `${decision.kind}${what} -> ${nodes.join()}`;
    });
  return { graph, state, apply, begin, end, block, told };
}

const TWO = `- id: b
  block: [{id: one, command: a}, {id: two, command: b}]
  rescue: [{id: back, command: c}]
  always: [{id: tidy, command: d}]
- {id: then, command: e, needs: [{task: b, of: all}]}
`;

t.test('a caught failure closes no gate from outside, spends no budget and counts as rescued', async (t) => {
  const run = running(TWO, 'any_errors_fatal: true');
  run.begin('b', 0, 1, 2);
  run.end('one', [0, 1, 2], 'failed');
  t.strictSame(run.told(), [], 'the play goes on');
  for (const node of [0, 1, 2]) run.block(['two'], node);
  run.end('back', [0, 1, 2]);
  run.end('tidy', [0, 1, 2]);
  t.match(
    run.state.counts[1],
    { ok: 2, failed: 1, rescued: 0, kept: 0, blocked: 1 },
    'nobody knows before the block has ended',
  );
  run.end('b', [0, 1, 2]);
  t.strictSame(run.told(), ['open all/0 -> 0,1,2']);
  t.strictSame(run.state.counts[1], {
    ok: 3,
    changed: 0,
    skipped: 1,
    failed: 0,
    ignored: 0,
    rescued: 1,
    kept: 0,
    blocked: 0,
  });
  run.end('then', [0, 1, 2]);
  run.end('after', [0, 1, 2]);
  t.equal(decideEnd(run.state), 'done');
});

t.test('a block that failed is one failure, blamed on its task', async (t) => {
  const run = running(TWO, 'max_fail_percentage: 40');
  run.begin('b', 0, 1, 2);
  run.end('one', [0], 'failed');
  run.block(['two'], 0);
  run.end('back', [0], 'failed');
  run.end('tidy', [0]);
  run.end('b', [0], 'failed');
  t.strictSame(run.told(), [], 'one node of three is within 40 %');
  t.match(run.state.counts[0], { failed: 2, rescued: 0, kept: 0, blocked: 2 }, 'both tasks failed; the block by them');
  for (const id of ['one', 'two', 'tidy', 'b']) run.end(id, [1, 2]);
  t.strictSame(run.told(), ['open all/0 -> 0,1,2'], 'tolerated as any failure is');

  const strict = running(TWO, 'any_errors_fatal: true');
  strict.begin('b', 0);
  strict.end('one', [0], 'failed');
  strict.end('back', [0], 'failed');
  t.strictSame(strict.told(), ['close play/0 -> 0,1,2'], 'nothing rescues the rescue');
  t.match(
    strict.state.stopped.get(0),
    /budget of 0 % is spent: needs p\/r\/back on cp1, failed: BROKEN: a part broke$/,
  );
  strict.block(['two'], 0);
  strict.end('tidy', [0]);
  strict.end('b', [0], 'failed');
  strict.block(['b', 'one', 'two', 'back', 'tidy'], 1);
  strict.block(['b', 'one', 'two', 'back', 'tidy'], 2);
  const [close] = decide(strict.state);
  t.match(close?.decision, {
    kind: 'close',
    gate: 'all/0',
    cause: 'needs p/r/one on cp1, failed: BROKEN: a part broke',
  });
  t.match(strict.state.counts[1], { failed: 0, blocked: 5 });
});

t.test('what others did to a block is not its own failure', async (t) => {
  const run = running(
    TWO.replace('{id: two, command: b}', '{id: two, command: b, needs: [{task: one, of: all}]}'),
    'max_fail_percentage: 34',
  );
  run.begin('b', 0, 1, 2);
  run.end('one', [1, 2]);
  run.end('one', [0], 'failed');
  t.strictSame(run.told(), ['open all/1 -> 0,1,2'], 'within the budget of its play, also among the tasks of a block');
  const other = running(
    '- {id: far, command: a, on: cp1}\n- id: b\n  needs: []\n  block: [{id: in, command: b, needs: [{task: far, of: all}]}]\n',
  );
  other.begin('b', 1);
  other.block(['in'], 1);
  other.end('b', [1], 'failed');
  t.strictSame(other.state.failedNodes[0]?.size, 0);
  t.match(other.state.counts[1], { failed: 0, blocked: 2 });
});

t.test('serial: the next batch waits for blocks, not for what they caught', async (t) => {
  const run = running(TWO.split('- {id: then')[0] ?? '', 'serial: 1');
  run.begin('b', 0);
  run.end('one', [0], 'failed');
  run.block(['two'], 0);
  run.end('back', [0]);
  run.end('tidy', [0]);
  t.strictSame(run.told(), []);
  run.end('b', [0]);
  t.strictSame(run.told(), ['open batch/0/0 -> 1']);
  run.begin('b', 1);
  run.end('one', [1], 'failed');
  run.block(['two'], 1);
  run.end('back', [1], 'failed');
  run.end('tidy', [1]);
  run.end('b', [1], 'failed');
  t.strictSame(run.told(), ['close batch/0/1 -> 2']);
});

t.test('a permit of a block: given back when it or its always ended ok, or it never began', async (t) => {
  const permit = (tasks: string) => {
    const run = running(tasks);
    const b = taskOf(run.graph, 'b');
    for (const node of [0, 1, 2]) wishPermit(run.state, b, node);
    t.strictSame(permitsToGrant(run.state), [{ task: b, node: 0 }]);
    run.apply({ kind: 'permit_granted', at: 0, node: 0, task: b });
    const next = () => permitsToGrant(run.state).map(({ node }) => node);
    return { ...run, next };
  };
  const held = TWO.replace('- id: b\n', '- id: b\n  permit: p\n');
  const bare = held.replace(/ {2}always.*\n/, '');

  const rescued = permit(bare);
  rescued.begin('b', 0);
  rescued.end('one', [0], 'failed');
  rescued.block(['two'], 0);
  t.strictSame(rescued.next(), [], 'kept while the block is at work');
  rescued.end('back', [0]);
  rescued.end('b', [0]);
  t.strictSame(rescued.next(), [1]);

  const tidied = permit(held);
  tidied.begin('b', 0);
  for (const id of ['one', 'back']) tidied.end(id, [0], 'failed');
  tidied.block(['two'], 0);
  tidied.end('tidy', [0]);
  tidied.end('b', [0], 'failed');
  t.strictSame(tidied.next(), [1], 'its always has put things in order');

  const stuck = permit(bare);
  stuck.begin('b', 0);
  stuck.block(['two'], 0);
  stuck.end('one', [0], 'failed');
  stuck.end('back', [0], 'failed');
  stuck.end('b', [0], 'failed');
  t.strictSame(stuck.told(), ['close permit/p -> 1', 'close permit/p -> 2'], 'waiters are told');
  t.match(stuck.state.permits.get('p')?.stuck, /p\/r\/one on cp1, failed: BROKEN/, 'with the task that failed');
  t.strictSame(stuck.next(), []);

  const unbegun = permit(held);
  unbegun.block(['b', 'one', 'two', 'back', 'tidy'], 0);
  t.strictSame(unbegun.next(), [1], 'it never began');

  const lost = permit(held);
  lost.begin('b', 0);
  lost.end('one', [0]);
  lost.apply({ kind: 'given_up', at: 0, node: 0, error: { code: 'NODE_LOST', message: 'gone', remedy: '' } });
  t.strictSame(
    lost.told(),
    ['close permit/p -> 1', 'close permit/p -> 2', 'hold -> 0'],
    'nobody knows how far it came',
  );

  const cancelled = permit(held);
  cancelled.begin('b', 0);
  for (const id of ['one', 'two', 'back']) cancelled.end(id, [0], 'cancelled');
  cancelled.end('tidy', [0]);
  cancelled.end('b', [0], 'cancelled');
  t.strictSame([...(cancelled.state.permits.get('p')?.holders ?? [])], [], 'always ended ok');
});

t.test('any_errors_fatal of a task exceeds any budget at once, unless it is rescued', async (t) => {
  const tasks = (rescue: string) => `- id: b
  block:
    - {id: one, command: a, any_errors_fatal: true}
${rescue}- {id: soft, command: b, needs: []}
- {id: hard, command: c, needs: [], any_errors_fatal: true, ignore_errors: true}
`;
  const run = running(tasks(''), 'max_fail_percentage: 100');
  run.end('hard', [0, 1, 2], 'failed');
  run.end('soft', [0, 1, 2], 'failed');
  t.strictSame(run.told(), [], 'ignored, and within the budget');
  run.begin('b', 0);
  run.end('one', [0], 'failed');
  t.strictSame(run.told(), ['close play/0 -> 0,1,2']);
  t.match(run.state.stopped.get(0), /^play p stopped, as any_errors_fatal says: needs p\/r\/one on cp1, failed/);

  const caught = running(tasks('  rescue: [{id: back, command: d}]\n'));
  caught.begin('b', 0);
  caught.end('one', [0], 'failed');
  t.strictSame(caught.told(), []);
  caught.end('back', [0], 'failed');
  t.strictSame(caught.told(), [], 'the rescue itself is not fatal');
  caught.end('b', [0], 'failed');
  t.strictSame(caught.told(), ['close play/0 -> 0,1,2'], 'and the failure stands');
});

t.test('a node given up and back again: the record is mended as it was', async (t) => {
  const run = running(TWO);
  run.begin('b', 2);
  run.apply({ kind: 'given_up', at: 0, node: 2, error: { code: 'NODE_LOST', message: 'gone', remedy: '' } });
  run.end('one', [2], 'failed');
  run.block(['two'], 2);
  run.end('back', [2]);
  run.end('tidy', [2]);
  run.end('b', [2]);
  t.match(run.state.counts[2], { ok: 3, failed: 0, rescued: 1, skipped: 1 });
});
