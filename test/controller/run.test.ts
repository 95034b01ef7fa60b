import t from 'tap';
import type { TaskGraph } from '../../controller/compile/graph.ts';
import { applyEvent } from '../../controller/run/apply-event.ts';
import { decide, decideEnd, decideFor, permitsToGrant, wishPermit } from '../../controller/run/decide.ts';
import type { RunEvent } from '../../controller/run/events.ts';
import { newRunState, type RunState, stepState } from '../../controller/run/state.ts';
import type { StepOutcome } from '../../shared/lifecycle.ts';
import { graphFrom, type PlanSketch } from '../support/plan-builder.ts';
import { roleGraph, taskOf } from '../support/role-graph.ts';

const NODES = ['n0', 'n1', 'n2', 'n3'];
const LOST = { code: 'NODE_LOST', message: 'it is gone', remedy: 'Look.' };

/** A run at work, with the words of its events. */
function running(sketch: Omit<PlanSketch, 'nodes'>) {
  const graph = graphFrom({ nodes: NODES, ...sketch });
  const state = newRunState(graph);
  const apply = (...events: RunEvent[]): void => {
    for (const event of events) applyEvent(state, event);
  };
  apply({ kind: 'started', at: 0 });
  decide(state);
  const id = (key: string): number => graph.tasks.findIndex((task) => task.key.endsWith(`/${key}`));
  const end = (key: string, nodes: number[], outcome: StepOutcome = 'ok', more: object = {}): void => {
    for (const node of nodes)
      apply({ kind: 'ended', at: 0, node, task: id(key), outcome, result: { changed: false, ...more }, durationMs: 1 });
  };
  return { graph, state, apply, id, end, told: () => told(state) };
}

/** What is decided now, in words: `open all/0 -> 1,2`. */
function told(state: RunState): string[] {
  return decide(state).map(({ nodes, decision }) => {
    const what = 'gate' in decision ? ` ${decision.gate}` : '';
    return `${decision.kind}${what} -> ${nodes.join()}`;
  });
}

const ALL = [0, 1, 2, 3];
const two = (of: 'all' | 'first' | 'any', play: object = {}) =>
  running({
    roles: { a: ['x'], b: [{ id: 'y', needs: [{ task: 'x', of }] }] },
    plays: [
      { name: 'p', nodes: NODES, roles: ['a'], ...play },
      { name: 'q', nodes: NODES, roles: ['b'] },
    ],
  });

t.test('gates', async (t) => {
  const all = two('all');
  all.end('x', [0, 1, 2]);
  t.strictSame(all.told(), [], 'not before the last one');
  all.end('x', [3], 'skipped');
  t.strictSame(all.told(), ['open all/0 -> 0,1,2,3'], 'skipped satisfies');
  t.strictSame(all.told(), [], 'told once');

  const closed = two('all');
  closed.end('x', [0], 'failed', { error: { code: 'EXIT', message: 'exit code 3', remedy: '' } });
  t.strictSame(closed.told(), [], 'decided when all have ended');
  closed.end('x', [1, 2, 3]);
  const [decision] = decide(closed.state);
  t.match(
    decision?.decision,
    { kind: 'close', cause: 'p/a/x on n0, failed: EXIT: exit code 3' },
    'the cause for people',
  );

  const tolerated = two('all', { maxFailPercentage: 25 });
  tolerated.end('x', [0], 'failed');
  tolerated.end('x', [1, 2, 3]);
  t.strictSame(tolerated.told(), ['open all/0 -> 0,1,2,3'], "within the target play's budget");

  const first = two('first');
  first.end('x', [1, 2, 3]);
  t.strictSame(first.told(), []);
  first.end('x', [0]);
  t.strictSame(first.told(), ['open first/0 -> 0,1,2,3']);

  const any = two('any');
  any.end('x', [2], 'failed');
  any.end('x', [1]);
  t.strictSame(any.told(), ['open any/0 -> 0,1,2,3'], 'the first that ends ok');
  any.end('x', [0, 3], 'failed');
  t.strictSame(any.told(), [], 'what comes after does not matter');
  const none = two('any');
  none.end('x', ALL, 'failed');
  t.strictSame(none.told(), ['close any/0 -> 0,1,2,3']);

  const empty = running({
    roles: { a: [{ id: 'x', on: [] }], b: [{ id: 'y', needs: [{ task: 'x', of: 'all' }] }] },
    plays: [{ name: 'p', nodes: NODES, roles: ['a', 'b'] }],
  });
  t.equal(empty.state.gates.get('all/0')?.status, 'open', 'an empty set satisfies');
  t.match(decideFor(empty.state, 0, undefined), [{ kind: 'push' }, { kind: 'open', gate: 'all/0' }]);
});

t.test('values', async (t) => {
  const run = running({
    roles: {
      a: [{ id: 'x', register: { name: 'token', type: 'string' } }],
      b: [{ id: 'y', inputs: { shell: "{{ node('n0').token | quote }}" } }],
    },
    plays: [
      { name: 'p', nodes: ['n0', 'n1'], roles: ['a'] },
      { name: 'q', nodes: ['n2', 'n3'], roles: ['b'] },
    ],
  });
  run.end('x', [1], 'ok', { register: 'wrong node' });
  t.strictSame(run.told(), []);
  run.end('x', [0], 'ok', { register: 'abc' });
  t.match(decide(run.state), [{ nodes: [2, 3], decision: { kind: 'open', gate: 'value/0@n0', values: 'abc' } }]);
  t.match(decideFor(run.state, 3, { gates: new Set(['value/0@n0']), permits: new Set() }), [], 'not what it holds');
});

t.test('batches and budgets', async (t) => {
  const serial = (play: object) =>
    running({ roles: { a: ['x', 'y'] }, plays: [{ name: 'p', nodes: NODES, roles: ['a'], serial: [2], ...play }] });
  const good = serial({});
  good.end('x', [0, 1]);
  good.end('y', [0]);
  t.strictSame(good.told(), []);
  good.end('y', [1]);
  t.strictSame(good.told(), ['open batch/0/0 -> 2,3'], 'all steps of the batch have ended');

  const bad = serial({});
  bad.end('x', [0, 1]);
  bad.end('y', [0], 'failed');
  bad.end('y', [1]);
  t.strictSame(bad.told(), ['close batch/0/0 -> 2,3'], 'unstated: no failure');

  const half = serial({ maxFailPercentage: 25 });
  half.end('x', [0, 1]);
  half.end('y', [0], 'failed');
  t.strictSame(
    half.told(),
    ['close play/0 -> 0,1,2,3'],
    'one of two in the batch is more than 25 %, in nodes, not in steps',
  );
  half.end('y', [1]);
  t.strictSame(half.told(), ['close batch/0/0 -> 2,3']);

  const within = serial({ maxFailPercentage: 50 });
  within.end('x', [0, 1]);
  within.end('y', [0], 'failed');
  within.end('y', [1]);
  t.strictSame(within.told(), ['open batch/0/0 -> 2,3']);

  const fatal = running({
    roles: { a: ['x', { id: 'there', on: ['n3'] }] },
    plays: [{ name: 'p', nodes: ['n0', 'n1', 'n2'], roles: ['a'], anyErrorsFatal: true }],
  });
  fatal.end('x', [1], 'failed', { error: { code: 'EXIT', message: 'no', remedy: '' } });
  t.strictSame(fatal.told(), ['close play/0 -> 0,1,2,3'], 'also where a task of the play runs elsewhere');
  t.match(decideFor(fatal.state, 3, undefined), [
    { kind: 'push' },
    { kind: 'close', gate: 'play/0', cause: /budget of 0 %/ },
  ]);
  t.ok(running({ roles: { a: ['x'] }, plays: [{ name: 'p', nodes: NODES, roles: ['a'] }] }).told().length === 0);
});

t.test('permits', async (t) => {
  const run = running({
    roles: { a: [{ id: 'x', permit: { name: 'etcd', count: 1 } }] },
    plays: [{ name: 'p', nodes: NODES, roles: ['a'] }],
  });
  const { state, apply } = run;
  const grant = (): number[] => {
    const grants = permitsToGrant(state);
    for (const { task, node } of grants) apply({ kind: 'permit_granted', at: 0, task, node });
    return grants.map(({ node }) => node);
  };
  t.strictSame(
    [2, 0, 1].map((node) => wishPermit(state, 0, node)),
    ['waiting', 'waiting', 'waiting'],
  );
  t.strictSame(grant(), [2], 'one at a time, in order of asking');
  t.equal(wishPermit(state, 0, 2), 'granted', 'asking again is harmless');
  t.strictSame(grant(), []);
  t.match(decideFor(state, 2, { gates: new Set(), permits: new Set() }), [{ kind: 'permit', task: 0 }], 'told again');
  run.end('x', [2]);
  t.strictSame(grant(), [0], 'given back when it ended well');
  apply({ kind: 'blocked', at: 0, node: 0, tasks: [0], cause: 'c', cancelled: false });
  t.strictSame(grant(), [1], 'or never began');
  apply({ kind: 'begun', at: 0, node: 1, task: 0, attempt: 1, items: 0 });
  run.end('x', [1], 'failed');
  t.strictSame(grant(), []);
  wishPermit(state, 0, 3);
  t.strictSame(run.told(), ['close permit/etcd -> 3'], 'a holder that failed keeps it, and the others are told');

  const late = running({
    roles: { a: [{ id: 'x', permit: { name: 'etcd', count: 1 } }] },
    plays: [{ name: 'p', nodes: NODES, roles: ['a'] }],
  });
  wishPermit(late.state, 0, 0);
  wishPermit(late.state, 0, 1);
  const [first] = permitsToGrant(late.state);
  late.apply({ kind: 'given_up', at: 0, node: 0, error: LOST });
  late.apply({ kind: 'permit_granted', at: 0, task: first?.task ?? -1, node: first?.node ?? -1 });
  t.match(permitsToGrant(late.state), [{ node: 1 }], 'a grant that came too late goes to the next');

  // It failed with its permit, and the next revision does not come to try it again.
  for (const cancelled of [false, true]) {
    const again = running({
      roles: { a: ['w', { id: 'x', permit: { name: 'etcd', count: 1 } }] },
      plays: [{ name: 'p', nodes: NODES, roles: ['a'] }],
    });
    const permits = [{ task: 1, node: 0, failed: true as const }];
    again.apply({ kind: 'revised', at: 0, revision: 2, by: '', how: 'retry', rerun: [], skip: [], permits });
    again.apply({ kind: 'accepted', at: 0, node: 0, revision: 2 });
    wishPermit(again.state, 1, 1);
    t.strictSame(permitsToGrant(again.state), []);
    again.end('w', [0], 'failed');
    again.apply({ kind: 'blocked', at: 0, node: 0, tasks: [1], cause: 'c', cancelled });
    t.strictSame(permitsToGrant(again.state), [], 'it keeps it');
    t.match(again.state.permits.get('etcd')?.stuck, /c/, 'and the others are told');
  }
});

t.test('cancel', async (t) => {
  const run = two('all');
  run.apply(
    { kind: 'accepted', at: 0, node: 0, revision: 1 },
    { kind: 'begun', at: 0, node: 0, task: 0, attempt: 1, items: 0 },
  );
  run.apply({ kind: 'cancel', at: 0, by: 'me' });
  t.match(run.told().at(-1), 'cancel -> 0,1,2,3', 'also to those that a push is on its way to');
  t.equal(stepState(run.state, 0, 1), 'cancelled', 'what was given to nobody ends at once');
  t.equal(stepState(run.state, 0, 0), 'begun');
  t.equal(decideEnd(run.state), undefined);
  const held = { gates: new Set<string>(), permits: new Set<number>() };
  t.strictSame(
    decideFor(run.state, 0, held),
    [{ kind: 'cancel', force: false }],
    'desired state: repeated after a reconnect',
  );
  t.strictSame(decideFor(run.state, 1, held), [{ kind: 'cancel', force: false }], 'a push had reached it after all');
  run.end('x', [0], 'cancelled');
  run.apply({ kind: 'blocked', at: 0, node: 0, tasks: [1], cause: 'cancelled', cancelled: true });
  t.equal(decideEnd(run.state), 'cancelled');

  const queued = newRunState(run.graph);
  applyEvent(queued, { kind: 'cancel', at: 0, by: 'me' });
  t.equal(decideEnd(queued), 'cancelled', 'a queued run is over at once');
});

t.test('a node that is given up, and comes back', async (t) => {
  const run = two('all');
  run.end('x', [0, 1, 2]);
  run.apply({ kind: 'begun', at: 0, node: 3, task: 0, attempt: 1, items: 0 });
  run.apply({ kind: 'given_up', at: 0, node: 3, error: LOST });
  t.strictSame(run.told(), ['close all/0 -> 0,1,2,3', 'hold -> 3'], 'it shall begin nothing more');
  t.strictSame(run.state.counts[3], {
    ok: 0,
    changed: 0,
    skipped: 0,
    failed: 0,
    ignored: 0,
    rescued: 0,
    kept: 0,
    blocked: 2,
  });
  run.end('x', [3], 'ok', { changed: true });
  t.equal(stepState(run.state, 0, 3), 'ok', 'the record is mended');
  t.strictSame(run.state.counts[3], {
    ok: 1,
    changed: 1,
    skipped: 0,
    failed: 0,
    ignored: 0,
    rescued: 0,
    kept: 0,
    blocked: 1,
  });
  t.strictSame(run.told(), [], 'the run has moved on');
  t.match(decideFor(run.state, 3, { gates: new Set(), permits: new Set() }), [{ kind: 'hold', reason: 'it is gone' }]);
  t.strictSame(decideFor(run.state, 3, undefined), []);
  run.apply({ kind: 'given_up', at: 0, node: 3, error: LOST });
  run.end('y', [0, 1, 2], 'blocked');
  t.equal(decideEnd(run.state), 'failed');

  const refused = two('all');
  refused.apply({ kind: 'refused', at: 0, node: 0, error: LOST });
  t.equal(stepState(refused.state, 0, 0), 'unreachable');
});

t.test('prechecks', async (t) => {
  const pre = () =>
    running({
      roles: {
        pre: [{ id: 'c', action: 'check', inputs: { rule: 'memory' } }],
        work: ['w'],
        late: [{ id: 'again', action: 'check', inputs: { rule: 'memory' } }],
      },
      plays: [
        { name: 'p', nodes: NODES, roles: ['pre'], precheck: true, maxFailPercentage: 100 },
        { name: 'q', nodes: NODES, roles: ['work', 'late'] },
      ],
    });
  const verdict = (outcome: 'pass' | 'fail' | 'error' | 'warn') => ({
    verdict: { check: 'memory', outcome, message: `memory: ${outcome}`, remedy: '', evidence: null },
  });
  const judged = (
    run: ReturnType<typeof pre>,
    key: string,
    node: number,
    outcome: 'pass' | 'fail' | 'error' | 'warn',
    more: object = {},
  ): void =>
    run.apply({
      ...{ kind: 'ended', at: 0, node, task: run.id(key), outcome: 'ok', durationMs: 1 },
      ...{ result: { changed: false }, ...verdict(outcome), ...more },
    } as RunEvent);

  const failing = pre();
  for (const node of [0, 1, 2]) judged(failing, 'c', node, 'pass');
  judged(failing, 'c', 3, 'error');
  t.match(
    decide(failing.state),
    [{ decision: { kind: 'close', gate: 'precheck', cause: /n3.*memory: error/ } }],
    'error is fail; no budget',
  );
  failing.apply(
    ...ALL.map((node): RunEvent => ({ kind: 'blocked', at: 0, node, tasks: [1, 2], cause: 'c', cancelled: false })),
  );
  t.equal(decideEnd(failing.state), 'precheck_failed');

  const passing = pre();
  passing.end('c', [0], 'skipped');
  judged(passing, 'c', 1, 'warn');
  judged(passing, 'c', 2, 'fail', { waived: 'known' });
  judged(passing, 'c', 3, 'pass');
  t.strictSame(
    passing.told(),
    ['open precheck -> 0,1,2,3'],
    'a check that does not apply, a warning and a waiver pass',
  );
  passing.end('w', ALL);
  for (const node of ALL) judged(passing, 'again', node, 'fail');
  t.equal(decideEnd(passing.state), 'done', 'a check outside the precheck play only tells');
});

t.test('the end', async (t) => {
  const finish = (outcome: StepOutcome, task: object = {}): string | undefined => {
    const run = running({ roles: { a: [{ id: 'x', ...task }] }, plays: [{ name: 'p', nodes: NODES, roles: ['a'] }] });
    run.end('x', [0, 1, 2]);
    run.end('x', [3], outcome);
    return decideEnd(run.state);
  };
  t.equal(finish('ok'), 'done');
  t.equal(finish('skipped'), 'done');
  t.equal(finish('failed'), 'failed');
  t.equal(finish('failed', { ignoreErrors: true }), 'done');
  t.equal(finish('interrupted'), 'failed');
  const graph: TaskGraph = graphFrom({
    nodes: NODES,
    roles: { a: [] },
    plays: [{ name: 'p', nodes: NODES, roles: ['a'] }],
  });
  const nothing = newRunState(graph);
  applyEvent(nothing, { kind: 'started', at: 0 });
  t.equal(decideEnd(nothing), 'done', 'nothing to do is done');
});

t.test('what the lifecycle does not allow changes nothing', async (t) => {
  const run = two('all');
  run.end('x', [0], 'ok', { changed: true, register: 'a' });
  const before = JSON.stringify([...run.state.steps, ...run.state.counts, run.state.pendingTotal]);
  run.end('x', [0], 'ok', { changed: true });
  run.end('x', [0], 'failed');
  run.apply({ kind: 'begun', at: 0, node: 0, task: 0, attempt: 1, items: 0 });
  run.apply({ kind: 'blocked', at: 0, node: 0, tasks: [0], cause: '', cancelled: false });
  t.equal(JSON.stringify([...run.state.steps, ...run.state.counts, run.state.pendingTotal]), before);
});

t.test('a permit that failed steps kept from the revision before does not hold up who must go first', (t) => {
  const holders: [name: string, tasks: string, granted: boolean][] = [
    ['before the holder', '- {id: a, command: a, permit: p}\n- {id: h, command: h, permit: p}\n', true],
    [
      'in a block before it',
      '- {id: b, block: [{id: a, command: a, permit: p}]}\n- {id: h, command: h, permit: p}\n',
      true,
    ],
    [
      'in the block whose always it is in',
      '- {id: b, block: [{id: a, command: a, permit: p}], always: [{id: h, command: h, permit: p}]}\n',
      true,
    ],
    ['beside it', '- {id: h, command: h, permit: p}\n- {id: a, command: a, permit: p, needs: []}\n', false],
  ];
  for (const [name, tasks, granted] of holders) {
    const graph = roleGraph(tasks, { nodes: ['n1', 'n2'] });
    const state = newRunState(graph);
    const permits = [{ task: taskOf(graph, 'h'), node: 0, failed: true as const }];
    applyEvent(state, { kind: 'revised', at: 0, revision: 2, by: '', how: 'retry', rerun: [], skip: [], permits });
    applyEvent(state, { kind: 'started', at: 0 });
    permitsToGrant(state);
    wishPermit(state, taskOf(graph, 'a'), 0);
    t.match(permitsToGrant(state), granted ? [{ task: taskOf(graph, 'a'), node: 0 }] : [], name);
  }
  t.end();
});
