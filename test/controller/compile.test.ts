import t from 'tap';
import { phaseTag } from '../../controller/compile/select.ts';
import { graphFromJson, graphToJson } from '../../controller/compile/serialise.ts';
import { shareOf } from '../../controller/compile/share-of.ts';
import { newRunState } from '../../controller/run/state.ts';
import { jsonBytes } from '../../shared/protocol/codec.ts';
import {
  graphFrom,
  nodesOf,
  type PlanSketch,
  problemsFrom,
  type TaskSketch,
  waitsIn,
} from '../support/plan-builder.ts';

const NODES = ['cp1', 'cp2', 'w1', 'w2'];

t.test('a task needs its predecessor on the same node, through roles and plays', async (t) => {
  const graph = graphFrom({
    nodes: NODES,
    roles: { a: ['one', 'two'], b: ['three'], c: ['four'] },
    plays: [
      { name: 'first', nodes: NODES, roles: ['a', 'b'] },
      { name: 'second', nodes: ['cp1', 'cp2'], roles: ['c'] },
      { name: 'third', nodes: NODES, roles: ['b'] },
    ],
  });
  t.strictSame(waitsIn({ ...graph, tasks: graph.tasks.slice(0, 4) }), {
    'a/one': [],
    'a/two': ['same a/one'],
    'b/three': ['same a/two'],
    'c/four': ['same b/three'],
  });
  const third = graph.common.tasks[4];
  t.strictSame(
    third?.needs,
    [{ task: 3 }, { task: 2 }],
    'workers, which the second play leaves out, wait for the first',
  );
  t.equal(graph.gates.length, 0, 'nothing of this crosses nodes');
});

t.test('the end of a role is its end on every node', async (t) => {
  const waits = waitsIn(
    graphFrom({
      nodes: NODES,
      groups: { control_plane: ['cp1', 'cp2'] },
      roles: {
        once: ['all-nodes', { id: 'init', runOnce: true }],
        part: ['everywhere', { id: 'cp-only', on: ['control_plane'] }],
        free: ['left', { id: 'right', needs: [] }],
        next: ['go'],
      },
      plays: [{ name: 'p', nodes: NODES, roles: ['once', 'part', 'free', 'next'] }],
    }),
  );
  t.strictSame(
    waits['part/everywhere'],
    ['same once/all-nodes', 'all once/init'],
    'after run_once: its step wherever it ran, and what the role did here',
  );
  t.strictSame(waits['free/left'], ['same part/everywhere', 'all part/cp-only']);
  t.strictSame(waits['free/right'], [], 'needs: [] drops the edge');
  t.strictSame(waits['next/go'], ['same free/left', 'same free/right'], 'a role ends when all its ends have');
});

t.test('run_once and on', async (t) => {
  const graph = graphFrom({
    nodes: NODES,
    groups: { control_plane: ['cp1', 'cp2'], none: [] },
    roles: {
      r: [
        'before',
        { id: 'init', runOnce: true, when: ["node_name == 'cp2'"] },
        { id: 'anywhere', runOnce: true, when: ['facts.cpu.count > 1'] },
        { id: 'there', on: ['control_plane'] },
        { id: 'nowhere', on: ['none'] },
        'after',
      ],
    },
    plays: [{ name: 'p', nodes: NODES, roles: ['r'] }],
  });
  t.strictSame(nodesOf(graph, 'r/init'), ['cp2'], 'the first on which its condition holds');
  t.strictSame(nodesOf(graph, 'r/anywhere'), ['cp1'], 'a condition over facts is for the node to decide: the first');
  t.strictSame(nodesOf(graph, 'r/there'), ['cp1', 'cp2']);
  t.strictSame(nodesOf(graph, 'r/nowhere'), []);
  t.match(waitsIn(graph)['r/after'], ['all r/there', 'all r/anywhere', 'all r/init', 'same r/before']);
  const [gate] = graph.gates.filter(({ id }) => id === 'all/1');
  t.equal(graph.sets[gate?.waiters ?? -1]?.members.length, 4, 'one join vertex, its waiters a set');
});

t.test('stated needs', async (t) => {
  const sketch: PlanSketch = {
    nodes: NODES,
    roles: {
      etcd: ['install', 'start'],
      k8s: [
        { id: 'a', needs: [{ task: 'install', of: 'all' }] },
        { id: 'b', needs: [{ task: 'etcd/start', of: 'first' }, { task: 'a' }] },
        { id: 'c', needs: [{ role: 'etcd', of: 'any' }] },
        { id: 'd', needs: [{ play: 'one', of: 'all' }] },
        { id: 'install', needs: [] },
        { id: 'e', needs: [{ task: 'install' }] },
      ],
    },
    plays: [
      { name: 'one', nodes: ['cp1', 'cp2'], roles: ['etcd'] },
      { name: 'two', nodes: NODES, roles: ['k8s'] },
    ],
  };
  const graph = graphFrom(sketch);
  const waits = waitsIn(graph);
  t.strictSame(waits['k8s/b'], ['first etcd/start', 'same k8s/a']);
  t.strictSame(waits['k8s/c'], ['any etcd/start']);
  t.strictSame(waits['k8s/d'], ['all etcd/start'], 'a play ends with its last tasks');
  t.strictSame(waits['k8s/a'], ['all k8s/install'], 'a name means the nearest task: in the same role');
  t.strictSame(waits['k8s/e'], ['same k8s/install']);
});

t.test('after: all is a barrier for every step of the play', async (t) => {
  const waits = waitsIn(
    graphFrom({
      nodes: NODES,
      groups: { none: [] },
      roles: { a: ['x', 'y'], b: [{ id: 'empty', on: ['none'] }, 'one', 'two', { id: 'own', needs: [{ task: 'x' }] }] },
      plays: [
        { name: 'first', nodes: NODES, roles: ['a'] },
        { name: 'second', nodes: ['w1', 'w2'], roles: ['b'], afterAll: true },
      ],
    }),
  );
  t.ok(waits['b/one']?.includes('all a/y'), 'also when the task before it runs nowhere');
  t.notOk(waits['b/two']?.includes('all a/y'), 'stated once: what follows waits with it');
  t.ok(waits['b/own']?.includes('all a/y'), 'a stated need does not go round it');
});

t.test('tags leave tasks out, and what needs them is satisfied', async (t) => {
  const sketch: PlanSketch = {
    nodes: NODES,
    roles: {
      pre: [{ id: 'look', action: 'check', inputs: { rule: 'memory' } }],
      other: [{ id: 'install', tags: ['x'] }],
      r: [
        { id: 'install' },
        { id: 'go', tags: ['x'], needs: [{ task: 'install' }] },
        { id: 'always', tags: ['always'] },
      ],
    },
    plays: [
      { name: 'check', nodes: NODES, roles: ['pre'], precheck: true },
      { name: 'work', nodes: NODES, roles: ['other', 'r'] },
    ],
  };
  const tagged = waitsIn(graphFrom(sketch, { tags: ['x'] }));
  t.strictSame(Object.keys(tagged), ['pre/look', 'other/install', 'r/go', 'r/always'], 'prechecks are never filtered');
  t.strictSame(tagged['r/go'], ['precheck'], 'not another task that happens to have the name');
  t.strictSame(Object.keys(waitsIn(graphFrom(sketch, { skipTags: ['x'] }))), ['pre/look', 'r/install', 'r/always']);
  t.strictSame(Object.keys(waitsIn(graphFrom(sketch, { prechecksOnly: true }))), ['pre/look']);
  const roles = { ...sketch.roles, last: ['end'] };
  const later = { ...sketch, roles, plays: [...sketch.plays, { name: 'later', nodes: NODES, roles: ['last'] }] };
  const phase = waitsIn(graphFrom(later, { tags: [phaseTag('later')] }));
  t.strictSame(
    Object.keys(phase),
    ['pre/look', 'r/always', 'last/end'],
    'a phase is its play, and what is always done',
  );
  t.notOk('pre/look' in waitsIn(graphFrom(sketch, { skipPrechecks: true })));
  t.notMatch(JSON.stringify(waitsIn(graphFrom(sketch, { skipPrechecks: true }))), 'precheck');
});

t.test('the precheck gate stands before changes only', async (t) => {
  const graph = graphFrom({
    nodes: NODES,
    roles: {
      pre: ['tool', { id: 'memory', action: 'check', inputs: { rule: 'memory' } }],
      work: [{ id: 'say', action: 'debug', inputs: { message: 'x' } }, 'change'],
      more: [{ id: 'disk', action: 'check', inputs: { rule: 'free_disk' } }],
    },
    plays: [
      { name: 'a', nodes: NODES, roles: ['pre'], precheck: true },
      { name: 'b', nodes: NODES, roles: ['work'] },
      { name: 'c', nodes: NODES, roles: ['more'], precheck: true },
      { name: 'd', nodes: NODES, roles: ['work'] },
    ],
  });
  const waits = waitsIn(graph);
  t.strictSame(waits['pre/tool'], [], 'a precheck may install its tool');
  t.strictSame(waits['work/change'], ['same work/say', 'precheck']);
  t.strictSame(waits['work/say'], ['same more/disk']);
  t.strictSame(
    waits['more/disk'],
    ['same pre/memory'],
    'prechecks of a later playbook go first too: nothing deadlocks',
  );
  t.equal(newRunState(graph).precheckGate?.remaining, 12, 'three prechecks on four nodes');
});

t.test('batches', async (t) => {
  const graph = graphFrom({
    nodes: NODES,
    roles: { r: ['one', 'two'] },
    plays: [{ name: 'p', nodes: NODES, roles: ['r'], serial: [1, 2] }],
  });
  t.strictSame(
    NODES.map((_, node) => shareOf(graph, node).batches),
    [{ 0: 0 }, { 0: 1 }, { 0: 1 }, { 0: 2 }],
    'sizes in turn, the last repeats',
  );
  t.strictSame(
    graph.gates.map(({ id, waiters }) => [id, graph.sets[waiters]?.members]),
    [
      ['batch/0/0', [1, 2]],
      ['batch/0/1', [3]],
    ],
  );
});

t.test("another node's register", async (t) => {
  const read = (text: string, more: object = {}) => ({ id: 'read', inputs: { shell: text }, ...more });
  const sketch = (text: string): PlanSketch => ({
    nodes: NODES,
    groups: { control_plane: ['cp1', 'cp2'] },
    roles: {
      init: [{ id: 'token', register: { name: 'token', type: 'string' } }],
      later: [{ id: 'other', register: { name: 'token', type: 'string' } }],
      join: [read(text)],
    },
    plays: [
      { name: 'a', nodes: ['cp1'], roles: ['init'] },
      { name: 'b', nodes: ['w1'], roles: ['later'] },
      { name: 'c', nodes: ['w1', 'w2'], roles: ['join'] },
    ],
  });
  const graph = graphFrom(sketch('echo {{ node(groups.control_plane[0]).token | quote }}'));
  t.strictSame(waitsIn(graph)['join/read'], ['same later/other', 'value init/token@cp1'], 'derived from the reading');
  t.strictSame(graph.common.tasks[2]?.reads, [{ node: 'cp1', register: 'token', gate: 'value/0@cp1' }]);
  t.equal(graph.common.tasks[0]?.register?.exported, true);
  t.equal(graph.common.tasks[1]?.register?.exported, false, 'nobody reads it: it stays on its node');

  const code = (text: string): string[] => problemsFrom(sketch(text)).map((problem) => problem.code);
  t.strictSame(code("{{ node('cp1').nothing | quote }}"), ['READ_UNKNOWN']);
  t.strictSame(code("{{ node('cp9').token | quote }}"), ['READ_UNKNOWN']);
  t.strictSame(code('{{ node(facts.hostname).token | quote }}'), ['READ_SELECTOR']);
  t.strictSame(code("{{ node('cp9').token | default('x') | quote }}"), [], 'defaulted: the default it is');

  const byPlay = graphFrom({
    ...sketch('true'),
    plays: [
      { name: 'a', nodes: ['cp1'], roles: ['init'] },
      { name: 'c', nodes: ['w1'], roles: ['join'], vars: { token: "{{ node('cp1').token }}" } },
    ],
  });
  t.match(waitsIn(byPlay)['join/read'], ['value init/token@cp1'], 'variables of the play read too');

  t.strictSame(code("echo {{ node('cp1').token }}"), ['READ_UNQUOTED'], 'a foreign value is no shell text');
  const quiet = (task: TaskSketch, files = {}) =>
    graphFrom({ ...sketch('true'), roles: { ...sketch('true').roles, join: [task] }, files });
  const inTemplate = quiet(
    { id: 'read', action: 'file', inputs: { path: '/x', template: 'x.j2' } },
    { 'join/templates/x.j2': "token={{ node('cp1').token }}" },
  );
  t.match(waitsIn(inTemplate)['join/read'], ['same later/other', 'value init/token@cp1'], 'a template file reads too');
  const inAssert = quiet({ id: 'read', action: 'assert', inputs: { that: ["node('cp1').token != ''"] } });
  t.match(waitsIn(inAssert)['join/read'], ['same later/other', 'value init/token@cp1'], 'and a condition to assert');
});

t.test('cycles and deadlocks are told as paths', async (t) => {
  const message = (sketch: Omit<PlanSketch, 'nodes'>): string =>
    problemsFrom({ nodes: NODES, groups: { last: ['w2'] }, ...sketch })
      .map(({ code, message }) => `${code} ${message}`)
      .join('\n');
  t.equal(
    message({
      roles: {
        a: [
          { id: 'x', needs: [{ task: 'y' }] },
          { id: 'y', needs: [{ task: 'z', of: 'all' }] },
        ],
        b: ['z'],
      },
      plays: [{ name: 'p', nodes: NODES, roles: ['a', 'b'] }],
    }),
    'GRAPH_CYCLE These tasks wait for each other: p/a/x -> needs -> p/a/y -> needs -> p/b/z -> needs -> p/a/x.',
  );
  const self = {
    roles: { a: [{ id: 'x', needs: [{ task: 'x' }] }] },
    plays: [{ name: 'p', nodes: NODES, roles: ['a'] }],
  };
  t.match(message(self), 'GRAPH_SELF_NEED');
  t.match(
    message({
      roles: { pre: [{ id: 'c', action: 'check', needs: [{ task: 'w' }] }], work: ['w'] },
      plays: [
        { name: 'p', nodes: NODES, roles: ['pre'], precheck: true },
        { name: 'q', nodes: NODES, roles: ['work'] },
      ],
    }),
    'GRAPH_CYCLE',
    'the precheck gate takes part',
  );
  const serial = { name: 'p', nodes: NODES, serial: [2] };
  t.match(
    message({
      roles: { a: ['x', { id: 'y', needs: [{ task: 'x', of: 'all' }] }] },
      plays: [{ ...serial, roles: ['a'] }],
    }),
    'The play p runs in batches, and batch 1 of 2 would wait for a later one: p/a/y -> needs -> p/a/x.',
  );
  t.match(
    message({
      roles: {
        a: [
          { id: 'x', needs: [{ task: 'between' }] },
          { id: 'w', needs: [] },
        ],
        b: [{ id: 'between', needs: [{ task: 'w', of: 'all' }] }],
      },
      plays: [
        { ...serial, roles: ['a'] },
        { name: 'q', nodes: NODES, roles: ['b'] },
      ],
    }),
    /p\/a\/x -> needs -> q\/b\/between -> needs -> p\/a\/w/,
    'also over a detour through another play',
  );
  t.match(
    message({ roles: { a: [{ id: 'x', on: ['last'] }, 'y'] }, plays: [{ ...serial, roles: ['a'] }] }),
    'batch 1 of 2 would wait',
    'a step that runs on a node of the last batch',
  );
  t.match(
    message({
      roles: {
        a: [
          { id: 'x', on: [NODES[2] ?? ''] },
          { id: 'y', on: [NODES[1] ?? ''] },
        ],
      },
      plays: [{ ...serial, serial: [1], roles: ['a'] }],
    }),
    'batch 2 of 4 would wait for a later one: p/a/y -> needs -> p/a/x.',
    'where the first batch has no part in it',
  );
  t.match(
    message({
      roles: {
        a: [
          { id: 'x', register: { name: 'v', type: 'string' } },
          { id: 'y', inputs: { shell: "{{ node('w2').v | quote }}" } },
        ],
      },
      plays: [{ ...serial, roles: ['a'] }],
    }),
    'batch 1 of 2 would wait',
    'a value that only the last batch makes',
  );
  t.equal(
    message({
      roles: { a: [{ id: 'x', runOnce: true }, 'y', { id: 'z', needs: [{ task: 'y', of: 'first' }] }] },
      plays: [{ ...serial, roles: ['a'] }],
    }),
    '',
    'what the first batch does itself is no deadlock',
  );
});

t.test('a stored graph comes back the same', async (t) => {
  const graph = graphFrom({
    nodes: NODES,
    roles: {
      r: ['one', { id: 'two', needs: [{ task: 'one', of: 'all' }], permit: { name: 'p', count: 1 } }],
      s: ['three'],
    },
    plays: [
      { name: 'p', nodes: NODES, roles: ['r'], maxFailPercentage: 10 },
      { name: 'q', nodes: ['w1', 'w2'], roles: ['s'], serial: [1] },
    ],
  });
  const again = graphFromJson(graphToJson(graph));
  t.equal(graphToJson(again), graphToJson(graph));
  t.same(Buffer.from(jsonBytes(again.common)), Buffer.from(jsonBytes(graph.common)), 'agents know it by its digest');
  t.strictSame(again.gates, graph.gates);
  t.strictSame(shareOf(again, 2), shareOf(graph, 2));
});

t.test('5,000 nodes and 300 tasks', async (t) => {
  const nodes = Array.from({ length: 5000 }, (_, i) => `n${i}`);
  const tasks = Array.from({ length: 100 }, (_, i) => `t${i}`);
  const before = process.memoryUsage().heapUsed;
  const started = performance.now();
  const graph = graphFrom({
    nodes,
    groups: { control_plane: nodes.slice(0, 5) },
    roles: { a: tasks, b: [...tasks.slice(1), { id: 'join', needs: [{ task: 't1', of: 'all' }] }], c: tasks },
    plays: [
      { name: 'one', nodes, roles: ['a'] },
      { name: 'two', nodes: nodes.slice(0, 5), roles: ['b'] },
      { name: 'three', nodes, roles: ['c'], serial: [1] },
    ],
  });
  const compiled = performance.now();
  const state = newRunState(graph);
  t.comment(
    `compiled in ${Math.round(compiled - started)} ms, state in ${Math.round(performance.now() - compiled)} ms, ${Math.round((process.memoryUsage().heapUsed - before) / 2 ** 20)} MiB`,
  );
  t.equal(graph.tasks.length, 300);
  t.equal(new Set(graph.tasks.map((task) => task.set)).size, 2, 'tasks with the same nodes share one set');
  t.equal(
    graph.tasks.reduce((sum, task) => sum + task.edges.length, 0),
    301,
    'an edge is a relation between tasks, not between a million steps',
  );
  const dense = graph.sets.filter((set) => ArrayBuffer.isView(set.position));
  t.equal(dense.length, 1, 'batches of one node keep no array over all nodes');
  t.equal(state.steps.byteLength, 200 * 5000 + 100 * 5, 'a byte for each step');
});
