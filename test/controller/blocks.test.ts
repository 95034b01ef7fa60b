import t from 'tap';
import { graphFromJson, graphToJson } from '../../controller/compile/serialise.ts';
import { Common } from '../../shared/share.ts';
import { nodesOf, waitsIn } from '../support/plan-builder.ts';
import { compileRole, roleGraph } from '../support/role-graph.ts';

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
