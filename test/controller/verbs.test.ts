import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import type { Bootstrapper } from '../../controller/operations/bootstrapper.ts';
import { bringNodes } from '../../controller/operations/bring.ts';
import { Generations } from '../../controller/operations/generations.ts';
import { taskMeant } from '../../controller/operations/task-argument.ts';
import { openAuthority } from '../../controller/pki/authority.ts';
import { Runner } from '../../controller/run/runner.ts';
import { stepState } from '../../controller/run/state.ts';
import { openDatabase } from '../../controller/store/database.ts';
import { againView } from '../../controller/views/again.ts';
import { runView } from '../../controller/views/run-view.ts';
import type { WireOutcome } from '../../shared/protocol/messages.ts';
import { NOTHING_LOCAL } from '../support/local-parts.ts';
import { graphFrom, type PlanSketch } from '../support/plan-builder.ts';
import { HandClock, MemoryLog, SimulatedFleet } from '../support/simulated-fleet.ts';

const NODES = ['n0', 'n1', 'n2'];
const OPTIONS = { leaseMs: 3_600_000, leaseMarginMs: 30_000, connectTimeoutMs: 300_000, execTimeoutMs: 10_000 };
const AGAIN = { how: 'retry' as const, by: 'me', rerun: [], skip: [] };

function engine() {
  const [clock, log] = [new HandClock(), new MemoryLog()];
  const fleet = new SimulatedFleet(NODES, clock);
  const start = (): Runner =>
    new Runner({
      local: NOTHING_LOCAL,
      ...{ log, dispatcher: fleet, clock, options: OPTIONS, watcher: { events: () => {} } },
      trouble: (error) => t.equal(error, undefined),
    });
  const said = (kind: string): string[] =>
    fleet.frames.splice(0).flatMap(({ to, message }) => (message.kind === kind ? [to] : []));
  return { clock, log, fleet, start, said };
}

const single: PlanSketch = {
  nodes: NODES,
  roles: { a: ['x', 'y'] },
  plays: [{ name: 'p', nodes: NODES, roles: ['a'] }],
};
const failing =
  (step: string) =>
  (node: string, label: string): WireOutcome =>
    `${node} ${label}` === step ? 'OUTCOME_FAILED' : 'OUTCOME_OK';

t.test('what failed is kept on its nodes until a newer plan run starts there', async (t) => {
  const { fleet, start, said } = engine();
  const runner = start();
  for (const name of NODES) fleet.connect(runner, name);
  await runner.create(graphFrom(single), { id: 'r1', by: 'me' });
  await fleet.settle(runner, failing('n1 r1/0'));
  t.strictSame(said('forget'), []);
  await runner.create(graphFrom({ ...single, plays: [{ name: 'p', nodes: ['n2'], roles: ['a'] }] }, { kind: 'exec' }), {
    ...{ id: 'x', by: '' },
  });
  await fleet.settle(runner);
  t.strictSame(said('forget'), ['n2'], 'an exec is forgotten, and overtakes nothing');

  fleet.disconnect('n0');
  const run = await runner.revise('r1', () => AGAIN);
  t.match(run.record, { revision: 2, status: 'running', endedMs: undefined });
  fleet.connect(runner, 'n0');
  await fleet.settle(runner, failing('n1 r1/1'));
  t.equal(run.state.status, 'failed');
  t.equal(stepState(run.state, 0, 1), 'ok', 'tried again');

  // A killed controller knows it from the store.
  for (const name of NODES) fleet.disconnect(name);
  const second = start();
  await second.recover();
  said('');
  for (const name of NODES) fleet.connect(second, name);
  t.strictSame(said('forget'), [], 'nobody is told to forget what can be resumed');
  await second.create(graphFrom({ ...single, plays: [{ name: 'p', nodes: ['n1'], roles: ['a'] }] }), {
    ...{ id: 'r2', by: 'me' },
  });
  t.strictSame(said('forget'), ['n1'], 'it is overtaken there');
  await fleet.settle(second);
  await t.rejects(
    second.revise('r1', () => AGAIN),
    { code: 'RUN_SUPERSEDED', report: { node: 'n1' } },
  );
  await t.rejects(
    second.revise('r2', () => AGAIN),
    { code: 'RUN_NOT_RESUMABLE' },
  );
  await t.rejects(
    second.revise('r9', () => AGAIN),
    { code: 'RUN_UNKNOWN' },
  );
});

t.test('a permit that a failed step keeps goes with it into the next revision', async (t) => {
  const permit = { name: 'etcd', count: 1 };
  const graph = graphFrom({ ...single, roles: { a: [{ id: 'x', permit }] } });
  const { fleet, start } = engine();
  const runner = start();
  for (const name of NODES) fleet.connect(runner, name);
  await runner.create(graph, { id: 'r', by: '' });
  let first: string | undefined;
  await fleet.settle(runner, (node) => {
    first ??= node;
    return node === first ? 'OUTCOME_FAILED' : 'OUTCOME_OK';
  });
  for (const name of NODES) fleet.disconnect(name);
  const run = await runner.revise('r', () => AGAIN);
  t.strictSame([...(run.state.permits.get('etcd')?.holders ?? [])], [`0@${NODES.indexOf(first ?? '')}`]);
  const others = NODES.filter((name) => name !== first);
  for (const name of others) fleet.connect(runner, name);
  const granted = (): number => fleet.frames.filter(({ message }) => message.kind === 'permit').length;
  const before = granted();
  await fleet.settle(runner);
  t.equal(granted(), before, 'nobody else is disrupted while that member is broken');
  fleet.connect(runner, first ?? '');
  await fleet.settle(runner);
  t.equal(run.state.status, 'done', 'it was tried first, and the others after it');
});

t.test('a failure is told with its root, however far it spreads', async (t) => {
  const { fleet, start, log } = engine();
  const runner = start();
  for (const name of NODES) fleet.connect(runner, name);
  const graph = graphFrom({
    nodes: NODES,
    roles: {
      a: ['x'],
      b: [{ id: 'y', needs: [{ task: 'x', of: 'all' }] }],
      c: [{ id: 'z', needs: [{ task: 'y', of: 'all' }] }],
    },
    plays: [
      { name: 'pa', nodes: ['n0'], roles: ['a'] },
      { name: 'pb', nodes: ['n1'], roles: ['b'] },
      { name: 'pc', nodes: ['n2'], roles: ['c'] },
    ],
  });
  const run = await runner.create(graph, { id: 'r', by: '' });
  await fleet.settle(runner, failing('n0 r/0'));
  const events = await log.events('r');
  t.strictSame(
    events.flatMap((event) => (event.kind === 'blocked' ? [event.cause] : [])),
    Array.from({ length: 2 }, () => 'needs pa/a/x on n0, failed: EXIT: exit code 1'),
  );
  const view = runView(run.record, graph, run.state, { events, nowMs: 0, waitingFor: [] });
  t.match(view.failures, [{ node: 'n0', task: 'pa/a/x', blocks: 2 }]);
  t.equal(view.failures.length, 1);
});

t.test('a cancel that has not reached a node is shown, and delivered when it is back', async (t) => {
  const { fleet, start, said, clock } = engine();
  const runner = start();
  for (const name of NODES) fleet.connect(runner, name);
  const graph = graphFrom(single);
  const run = await runner.create(graph, { id: 'r', by: '' });
  for (const name of NODES) fleet.agent(name).take();
  for (const name of NODES) fleet.deliver(runner, name);
  await runner.idle();
  fleet.disconnect('n2');
  runner.cancel('r', 'me', true);
  await fleet.settle(runner);
  const shown = (): unknown =>
    runView(run.record, graph, run.state, {
      ...{ events: [], nowMs: 0, waitingFor: [] },
      away: (node) => !fleet.isConnected(node),
    }).nodes.map(({ state }) => state);
  t.strictSame(shown(), ['cancelled', 'cancelled', 'cancel undelivered']);
  clock.ms += OPTIONS.leaseMs + OPTIONS.leaseMarginMs;
  runner.tick();
  await runner.idle();
  t.equal(run.state.status, 'cancelled');
  said('');
  fleet.connect(runner, 'n2');
  t.strictSame(said('cancel'), ['n2'], 'also after the end of the run');
});

t.test('agents that have met a newer controller hold all runs until they are adopted', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'kk-verbs-'));
  const database = await openDatabase(folder);
  t.teardown(async () => {
    await database.close();
    await rm(folder, { recursive: true });
  });
  const authority = await openAuthority(join(folder, 'pki'), { clock: Date.now });
  const { fleet, start, said } = engine();
  const runner = start();
  const warned: string[] = [];
  const open = (generation: number): Promise<Generations> =>
    Generations.open({ database, authority, generation, warn: (_, message) => warned.push(message) });
  const generations = await open(3);
  generations.govern(runner);
  for (const name of NODES) fleet.connect(runner, name);
  await runner.create(graphFrom(single), { id: 'r', by: '' });
  const of = (value: number, mac = authority.generationMac(value)) => ({ value, mac });
  await generations.seen('n0', of(9, Buffer.alloc(32)));
  await generations.seen('n0', of(3));
  t.strictSame([warned, said('hold')], [[], []], 'one without our MAC is ignored, our own is no news');

  await generations.seen('n0', of(9));
  t.equal(generations.value, 10, 'max + 1');
  t.match(warned, [/held until `runs adopt`: n0 was led by generation 9/]);
  t.strictSame(said('hold'), NODES);
  t.throws(() => generations.checkNew(), { code: 'GENERATION_BEHIND', report: { remedy: /runs adopt/ } });
  const queued = await runner.create(graphFrom(single, { kind: 'exec' }), { id: 'q', by: '' });
  t.equal(queued.state.status, 'queued', 'nothing is started');

  const again = await open(10);
  again.govern(runner);
  t.throws(() => again.checkNew(), { code: 'GENERATION_BEHIND' }, 'also after a restart');
  await again.adopt('r');
  t.strictSame(said('resume'), NODES);
  t.equal(queued.state.status, 'queued', 'the others are held still');
  await again.adopt(undefined);
  await fleet.settle(runner);
  t.strictSame([runner.active.size, queued.state.status], [0, 'done']);
  await t.rejects(again.adopt(undefined), { code: 'RUNS_NOT_HELD' });
});

t.test('a controller that takes a run over brings the nodes that still wait for their SSH step', async (t) => {
  const { fleet, start, clock, log } = engine();
  const first = start();
  fleet.connect(first, 'n0');
  const ssh = { host: '10.0.0.2', port: 22, user: 'root', hostKeys: 'accept-new' as const, connectTimeout: 10 };
  await first.create(
    { ...graphFrom(single), ssh: { n1: { ...ssh, privateKeyFile: '/root/key' } } },
    { id: 'r', by: '' },
  );
  fleet.agent('n0').take();
  fleet.deliver(first, 'n0');
  await first.idle();
  const runner = start();
  await runner.recover();
  const asked: unknown[] = [];
  type Bring = Parameters<Bootstrapper['bring']>;
  const bring = async (nodes: Bring[0], progress: Bring[1]): Promise<void> => {
    asked.push(...nodes);
    progress.done('n1', { code: 'SSH_UNREACHABLE', message: 'no', remedy: 'Look.' });
  };
  const run = runner.active.get('r');
  if (!run) throw new Error('it is not there');
  const bootstrapper = { bring } as unknown as Bootstrapper;
  bringNodes({ runner, dispatcher: fleet, bootstrapper, clock, stop: new AbortController().signal }, run);
  await runner.idle();
  t.match(asked, [
    { name: 'n1', ssh: { host: '10.0.0.2', privateKeyFile: '/root/key' } },
    { name: 'n2', ssh: undefined },
  ]);
  t.strictSame(run.state.nodes, ['accepted', 'given_up', 'waiting']);
  t.match(await log.find('r'), { graphJson: /privateKeyFile/ }, 'names of files are stored, never what is in them');
});

t.test('a task is named by an end of its key', (t) => {
  const graph = graphFrom({ ...single, plays: ['p', 'q'].map((name) => ({ name, nodes: NODES, roles: ['a'] })) });
  t.equal(taskMeant(graph, 'p/a/x'), 0);
  t.throws(() => taskMeant(graph, 'x'), { code: 'TASK_AMBIGUOUS', message: /p\/a\/x, q\/a\/x/ });
  t.throws(() => taskMeant(graphFrom(single), 'yy'), {
    code: 'TASK_UNKNOWN',
    report: { remedy: /^Near it are: p\/a\/y,/ },
  });
  t.equal(taskMeant(graphFrom(single), 'y'), 1);
  t.end();
});

t.test('what runs again is told before it does', async (t) => {
  const { fleet, start } = engine();
  const runner = start();
  for (const name of NODES) fleet.connect(runner, name);
  const run = await runner.create(graphFrom(single), { id: 'r', by: '' });
  await fleet.settle(runner, failing('n1 r/1'));
  const mended = graphFrom({
    ...single,
    roles: { a: [{ id: 'w' }, { id: 'x', inputs: { shell: 'other' } }, { id: 'y', timeout: 9 }] },
  });
  t.strictSame(againView(run.state, mended, { rerun: [], skip: [] }), [
    { task: 'p/a/w', nodes: NODES, why: 'new', repeatable: true },
    { task: 'p/a/x', nodes: NODES, why: 'changed', repeatable: false },
    { task: 'p/a/y', nodes: ['n1'], why: 'not done', repeatable: true },
  ]);
  t.strictSame(
    againView(run.state, mended, { retry: [0], rerun: [{ task: 2, nodes: [0] }], skip: [{ task: 0, reason: '' }] }).map(
      ({ task, nodes, why }) => [task, nodes, why],
    ),
    [
      ['p/a/x', NODES, 'changed'],
      ['p/a/y', ['n0'], 'asked for'],
    ],
  );
});
