import t from 'tap';
import type { EventLog } from '../../controller/run/ports.ts';
import { Runner } from '../../controller/run/runner.ts';
import { NOTHING_LOCAL } from '../support/local-parts.ts';
import { graphFrom, type PlanSketch } from '../support/plan-builder.ts';
import { HandClock, MemoryLog, SimulatedFleet } from '../support/simulated-fleet.ts';

const NODES = ['n0', 'n1', 'n2'];
const OPTIONS = { leaseMs: 3_600_000, leaseMarginMs: 30_000, connectTimeoutMs: 300_000, execTimeoutMs: 10_000 };
const AGAIN = { how: 'retry' as const, by: '', rerun: [], skip: [] };

function engine(log: EventLog) {
  const clock = new HandClock();
  const fleet = new SimulatedFleet(NODES, clock);
  const troubles: unknown[] = [];
  const start = (): Runner =>
    new Runner({
      local: NOTHING_LOCAL,
      ...{ log, dispatcher: fleet, clock, options: OPTIONS, watcher: { events: () => {} } },
      trouble(error) {
        troubles.push(error);
      },
    });
  return { clock, fleet, troubles, start };
}

const on = (nodes: string[], tasks: NonNullable<PlanSketch['roles'][string]> = ['x', 'y']) =>
  graphFrom({ nodes: NODES, roles: { a: tasks }, plays: [{ name: 'p', nodes, roles: ['a'] }] });

t.test('a run is not taken up behind a queued one that makes its nodes forget it', async (t) => {
  const { fleet, start } = engine(new MemoryLog());
  const runner = start();
  for (const name of NODES) fleet.connect(runner, name);
  const begun: string[] = [];
  for (const name of NODES) fleet.agent(name).onBegin = (run, task) => begun.push(`${run} ${task} ${name}`);
  await runner.create(on(['n0']), { id: 'x', by: '' });
  await fleet.settle(runner, (_, label) => (label.endsWith('/1') ? 'OUTCOME_FAILED' : 'OUTCOME_OK'));
  await runner.create(on(['n2']), { id: 'z', by: '' });
  await runner.create(on(['n0', 'n2']), { id: 'y', by: '' });
  await t.rejects(
    runner.revise('x', () => AGAIN),
    { code: 'RUN_SUPERSEDED', message: /y/ },
  );
  await fleet.settle(runner);
  t.equal(begun.filter((step) => step === 'x 0 n0').length, 1);
});

t.test(
  'a run that was cancelled before it began can be taken up; one that its nodes have forgotten cannot',
  async (t) => {
    const log = new MemoryLog();
    const { fleet, start } = engine(log);
    const runner = start();
    for (const name of NODES) fleet.connect(runner, name);
    await runner.create(on(['n0']), { id: 'w', by: '' });
    await runner.create(on(['n0']), { id: 'x', by: '' });
    runner.cancel('x', '');
    await fleet.settle(runner);
    await runner.revise('x', () => AGAIN);
    await fleet.settle(runner, () => 'OUTCOME_FAILED');
    t.equal(log.runs.get('x')?.record.status, 'failed');
    // As a store of version 1 has it.
    log.plans.clear();
    const next = start();
    await next.recover();
    await t.rejects(
      next.revise('x', () => AGAIN),
      { code: 'RUN_NOT_RESUMABLE', message: /forgotten/ },
    );
  },
);

t.test('what is cancelled in the moment of its revision ends', async (t) => {
  const { fleet, start } = engine(new MemoryLog());
  const runner = start();
  for (const name of NODES) fleet.connect(runner, name);
  const run = await runner.create(on(['n0', 'n1']), { id: 'x', by: '' });
  fleet.agent('n0').take();
  fleet.deliver(runner, 'n0');
  await runner.idle();
  // At once, before the next revision has begun.
  const revised = runner.revise('x', () => AGAIN);
  for (let i = 0; run.coming === undefined && i < 50; i++) await Promise.resolve();
  runner.cancel('x', '');
  await revised;
  await fleet.settle(runner);
  t.equal(run.state.status, 'cancelled');

  const other = await runner.create(on(['n0', 'n1']), { id: 'w', by: '' });
  for (const name of ['n0', 'n1']) {
    fleet.agent(name).take();
    fleet.deliver(runner, name);
  }
  await runner.idle();
  fleet.disconnect('n1');
  await runner.revise('w', () => AGAIN);
  await runner.idle();
  runner.cancel('w', '');
  await runner.idle();
  fleet.connect(runner, 'n1');
  await fleet.settle(runner);
  t.equal(other.state.status, 'cancelled', 'also where a node was away and comes with the revision before');
});

t.test('a permit that was given and not used goes to what its node wants first', async (t) => {
  const { fleet, start } = engine(new MemoryLog());
  const runner = start();
  fleet.connect(runner, 'n0');
  const permit = { name: 'p', count: 1 };
  const tasks = ['x', 'y'].map((id) => ({ id, permit }));
  const run = await runner.create(on(['n0'], tasks), { id: 'r', by: '' });
  const agent = fleet.agent('n0');
  // The first is skipped, which a revision tries again; the second has its permit and has not begun.
  while (![...(run.state.permits.get('p')?.holders ?? [])].includes('1@0')) {
    agent.take();
    agent.moves((...wish) => runner.permitWanted('n0', ...wish))[0]?.run('OUTCOME_SKIPPED');
    fleet.deliver(runner, 'n0');
    await runner.idle();
  }
  await runner.revise('r', () => AGAIN);
  // A permit comes when all else is at rest.
  for (let i = 0; i < 5; i++) await fleet.settle(runner);
  t.equal(run.state.status, 'done');
});

t.test('a run is revised also while news come without end', async (t) => {
  const log = new MemoryLog();
  const { fleet, start } = engine(log);
  const runner = start();
  for (const name of NODES) fleet.connect(runner, name);
  const run = await runner.create(on(['n0']), { id: 'x', by: '' });
  const append = log.append.bind(log);
  let appends = 0;
  // While something is being stored the next thing comes.
  log.append = async (batch) => {
    appends += 1;
    if (appends < 500) runner.record('x', { kind: 'bootstrap', at: 0, node: 0, phase: 'ssh' });
    await append(batch);
  };
  runner.record('x', { kind: 'bootstrap', at: 0, node: 0, phase: 'ssh' });
  await runner.revise('x', () => AGAIN);
  t.equal(run.record.revision, 2);
  t.ok(appends < 20, `${appends} transactions`);
});

t.test('a paused run that is cancelled ends, whoever leads it by then', async (t) => {
  const { fleet, start } = engine(new MemoryLog());
  const first = start();
  fleet.connect(first, 'n0');
  await first.create(on(['n0', 'n1']), { id: 'x', by: '' });
  first.pause('x', '');
  await first.idle();
  fleet.disconnect('n0');
  const runner = start();
  await runner.recover();
  fleet.connect(runner, 'n0');
  runner.cancel('x', '');
  await runner.idle();
  fleet.connect(runner, 'n1');
  await fleet.settle(runner);
  t.notOk(runner.active.has('x'));
});

t.test('what a cancel leaves to be done is not held by the pause before', async (t) => {
  const { fleet, start } = engine(new MemoryLog());
  const runner = start();
  fleet.connect(runner, 'n0');
  await runner.create(on(['n0']), { id: 'x', by: '' });
  fleet.agent('n0').take();
  runner.pause('x', '');
  await runner.idle();
  runner.cancel('x', '', true);
  await runner.idle();
  const told = fleet.frames.filter(({ to }) => to === 'n0').map(({ message }) => message.kind);
  t.same(told.slice(-3), ['hold', 'cancel', 'resume']);
});

t.test('a revision that waits for its start is remembered as being at work', async (t) => {
  const log = new MemoryLog();
  const { fleet, start, clock } = engine(log);
  const first = start();
  for (const name of NODES) fleet.connect(first, name);
  const run = await first.create(on(['n0', 'n1']), { id: 'x', by: '' });
  for (const name of ['n0', 'n1']) {
    fleet.agent(name).take();
    fleet
      .agent(name)
      .moves(() => {})[0]
      ?.run('OUTCOME_OK');
    fleet.deliver(first, name);
  }
  await first.idle();
  const revised = first.revise('x', () => AGAIN);
  for (let i = 0; run.coming === undefined && i < 50; i++) await Promise.resolve();
  await revised;
  // Killed before it had begun.
  const kept = log.runs.get('x');
  const at = kept?.events.findIndex(({ kind }) => kind === 'revised') ?? -1;
  kept?.events.splice(at + 1);
  Object.assign(kept?.record ?? {}, { status: 'queued' });
  for (const name of NODES) fleet.disconnect(name);
  const runner = start();
  await runner.recover();
  clock.ms += 300_000;
  runner.tick();
  await runner.idle();
  t.strictSame(
    runner.active.get('x')?.state.nodes.slice(0, 2),
    ['waiting', 'waiting'],
    'they may be at work: the lease counts',
  );
});

t.test('a controller set back: what was cancelled stays so, who comes late is caught up with', async (t) => {
  const { fleet, start, troubles } = engine(new MemoryLog());
  const runner = start();
  for (const name of NODES) fleet.connect(runner, name);
  const run = await runner.create(on(['n0', 'n1']), { id: 'x', by: '' });
  const begun: string[] = [];
  for (const name of ['n0', 'n1']) {
    const agent = fleet.agent(name);
    agent.onBegin = (_, task) => begun.push(`${name} ${task}`);
    const [push] = agent.inbox;
    if (push?.kind !== 'push') throw new Error('no push');
    // What a controller of later had told them.
    agent.inbox = [{ kind: 'push', value: { ...push.value, revision: 2 } }];
    agent.take();
    fleet.disconnect(name);
  }
  runner.holdBehind({ reason: 'behind', adopted: new Set() });
  fleet.connect(runner, 'n0');
  runner.cancel('x', '');
  await runner.idle();
  runner.holdBehind(undefined);
  await fleet.settle(runner);
  fleet.connect(runner, 'n1');
  await fleet.settle(runner);
  t.equal(run.state.status, 'cancelled');
  t.strictSame(begun, []);
  t.strictSame(troubles, []);
});

t.test('a node with a later revision that comes after the runs were adopted', async (t) => {
  const { fleet, start, troubles } = engine(new MemoryLog());
  const runner = start();
  for (const name of NODES) fleet.connect(runner, name);
  const run = await runner.create(on(['n0', 'n1']), { id: 'x', by: '' });
  const agent = fleet.agent('n1');
  const [push] = agent.inbox;
  if (push?.kind !== 'push') throw new Error('no push');
  agent.inbox = [{ kind: 'push', value: { ...push.value, revision: 2 } }];
  agent.take();
  fleet.disconnect('n1');
  await fleet.settle(runner);
  fleet.connect(runner, 'n1');
  await fleet.settle(runner);
  t.equal(run.state.status, 'done');
  t.strictSame(troubles, []);
});

t.test('a node that a revision leaves out', async (t) => {
  const { fleet, start, troubles } = engine(new MemoryLog());
  const runner = start();
  for (const name of NODES) fleet.connect(runner, name);
  await runner.create(on(['n0', 'n1']), { id: 'x', by: '' });
  for (const name of ['n0', 'n1']) fleet.agent(name).take();
  const facts = { kind: 'facts' as const, value: { run: 'x', version: 1, facts: new TextEncoder().encode('{}') } };
  fleet.disconnect('n1');
  const shorter = graphFrom({
    nodes: ['n0'],
    roles: { a: ['x', 'y'] },
    plays: [{ name: 'p', nodes: ['n0'], roles: ['a'] }],
  });
  await runner.revise('x', () => ({ ...AGAIN, graph: shorter }));
  await runner.idle();
  fleet.agent('n1').say(facts);
  fleet.connect(runner, 'n1');
  const last = fleet.agent('n1').unacked().at(-1)?.sequence ?? -1;
  fleet.deliver(runner, 'n1');
  await runner.idle();
  t.equal(fleet.refused.get('n1'), undefined);
  t.equal(fleet.agent('n1').acked, last, 'what it has to say does not come for ever');
  fleet.agent('n1').take();
  t.strictSame(fleet.agent('n1').held, [], 'and it goes on with nothing of it');
  await fleet.settle(runner);
  t.strictSame(troubles, []);
});
