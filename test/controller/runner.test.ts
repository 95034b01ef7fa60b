import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { compile } from '../../controller/compile/compile.ts';
import { graphFromJson } from '../../controller/compile/serialise.ts';
import type { EventLog } from '../../controller/run/ports.ts';
import { replay } from '../../controller/run/revise.ts';
import { Runner } from '../../controller/run/runner.ts';
import { type RunState, stepState } from '../../controller/run/state.ts';
import { openDatabase } from '../../controller/store/database.ts';
import { eventLog } from '../../controller/store/event-log.ts';
import { nodeStore } from '../../controller/store/nodes.ts';
import { KkError } from '../../shared/errors.ts';
import { hasEnded, satisfies } from '../../shared/lifecycle.ts';
import type { WireOutcome } from '../../shared/protocol/messages.ts';
import { NOTHING_LOCAL } from '../support/local-parts.ts';
import { graphFrom, type PlanSketch, planFrom, type TaskSketch } from '../support/plan-builder.ts';
import { HandClock, MemoryLog, SimulatedFleet } from '../support/simulated-fleet.ts';

const NODES = ['n0', 'n1', 'n2'];
const OPTIONS = { leaseMs: 3_600_000, leaseMarginMs: 30_000, connectTimeoutMs: 300_000, execTimeoutMs: 10_000 };

function engine(log: EventLog, names: readonly string[] = NODES) {
  const clock = new HandClock();
  const fleet = new SimulatedFleet(names, clock);
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

const gated: PlanSketch = {
  nodes: NODES,
  roles: {
    init: [{ id: 'init', register: { name: 'token', type: 'string' } }],
    join: [{ id: 'join', inputs: { shell: "{{ node('n0').token | quote }}" }, permit: { name: 'join', count: 1 } }],
  },
  plays: [
    { name: 'a', nodes: ['n0'], roles: ['init'] },
    { name: 'b', nodes: ['n1', 'n2'], roles: ['join'] },
  ],
};

t.test('over the real store: a killed controller goes on where it was', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'kk-runner-'));
  const database = await openDatabase(folder);
  t.teardown(async () => {
    await database.close();
    await rm(folder, { recursive: true });
  });
  const log = eventLog(database);
  const { fleet, start } = engine(log);
  fleet.agent('n0').resultOf = () => ({ changed: true, register: 'abc' });
  const first = start();
  for (const name of NODES) fleet.connect(first, name);
  await first.create(graphFrom(gated), { id: 'r1', by: 'me' });
  const [n0, n1, n2] = NODES.map((name) => fleet.agent(name));
  for (const agent of [n0, n1, n2]) agent?.take();
  const wish = (name: string) => (run: string, revision: number, task: number) =>
    first.permitWanted(name, run, revision, task);
  for (const kind of ['start', 'end'])
    n0?.moves(wish('n0'))
      .find((move) => move.kind === kind)
      ?.run('OUTCOME_OK');
  fleet.deliver(first, 'n0');
  await first.idle();
  t.match(fleet.frames.at(-1)?.message, { kind: 'open_gate', value: { gate: 'value/0@n0' } });
  n1?.take();
  n1?.moves(wish('n1'));
  await first.idle();
  t.match(fleet.frames.at(-1), { to: 'n1', message: { kind: 'permit' } });
  t.equal((await nodeStore(database).get('n0')).cursor.sequence, 3, 'accepted, begun, ended are stored');
  t.equal(n0?.acked, 3);

  // Killed: nothing of it is asked to end well. The gate had not reached n2, nor the permit n1.
  for (const name of NODES) fleet.disconnect(name);
  const second = start();
  await second.recover();
  fleet.frames.length = 0;
  for (const name of NODES) fleet.connect(second, name);
  t.match(
    fleet.frames.map(({ to, message }) => `${to} ${message.kind}`),
    ['n1 resume', 'n1 permit', 'n2 resume', 'n2 open_gate'],
    'each is told what it does not hold, and that nothing holds it',
  );
  await fleet.settle(second);
  const stored = await log.find('r1');
  t.equal(stored?.record.status, 'done');
  const events = await log.events('r1');
  t.equal(events.filter((event) => event.kind === 'begun').length, 3, 'each step once');
  t.strictSame(
    NODES.map((name) => fleet.agent(name).held),
    [[], [], []],
    'forgotten when all is stored',
  );
  t.equal(
    NODES.reduce((sum, name) => sum + fleet.agent(name).pushes, 0),
    3,
    'a push each, in both lives',
  );
});

t.test('plans queue for their nodes, exec does not', async (t) => {
  const log = new MemoryLog();
  const { fleet, start } = engine(log);
  const runner = start();
  for (const name of NODES) fleet.connect(runner, name);
  const on = (nodes: string[], kind: 'plan' | 'exec' = 'plan') =>
    graphFrom({ nodes: NODES, roles: { a: ['x'] }, plays: [{ name: 'p', nodes, roles: ['a'] }] }, { kind });
  const [one, two, three, other, exec] = [
    await runner.create(on(['n0', 'n1']), { id: 'one', by: '' }),
    await runner.create(on(['n1']), { id: 'two', by: '' }),
    await runner.create(on(['n1']), { id: 'three', by: '' }),
    await runner.create(on(['n2']), { id: 'other', by: '' }),
    await runner.create(on(['n1'], 'exec'), { id: 'exec', by: '' }),
  ];
  const status = () => [one, two, three, other, exec].map((run) => run?.state.status);
  t.strictSame(
    status(),
    ['running', 'queued', 'queued', 'running', 'running'],
    'a node that is only in the inventory is not held',
  );
  t.strictSame(three && runner.blockersOf(three).map((run) => run.record.id), ['one', 'two']);
  runner.cancel('two', 'me');
  await runner.idle();
  t.strictSame(status(), ['running', 'cancelled', 'queued', 'running', 'running'], 'a cancelled one leaves the queue');
  await fleet.settle(runner);
  t.strictSame(status(), ['done', 'cancelled', 'done', 'done', 'done']);
  const starts = (id: string): number =>
    log.runs.get(id)?.events.filter((event) => event.kind === 'started').length ?? 0;
  t.strictSame(['one', 'three'].map(starts), [1, 1], 'started once');
  t.throws(() => runner.cancel('two', 'me'), { code: 'RUN_NOT_ACTIVE' });
});

const single: PlanSketch = {
  nodes: NODES,
  roles: { a: ['x', 'y'] },
  plays: [{ name: 'p', nodes: NODES, roles: ['a'] }],
};

t.test('a message that makes no sense closes that agent only, and nothing after it is acknowledged', async (t) => {
  const log = new MemoryLog();
  const { fleet, start } = engine(log);
  const runner = start();
  for (const name of NODES) fleet.connect(runner, name);
  const run = await runner.create(graphFrom(single), { id: 'r', by: '' });
  const bad = fleet.agent('n0');
  bad.take();
  const ended = { run: 'r', revision: 1, outcome: 'OUTCOME_OK', result: Buffer.from('{"changed":false}') } as const;
  bad.say({ kind: 'ended', value: { ...ended, task: 7, at_ms: 0, duration_ms: 0 } });
  bad.say({ kind: 'ended', value: { ...ended, task: 0, at_ms: 0, duration_ms: 0 } });
  fleet.agent('n1').take();
  fleet.deliver(runner, 'n0');
  fleet.deliver(runner, 'n1');
  await runner.idle();
  t.match(fleet.refused.get('n0'), { code: 'FRAME_MALFORMED' });
  t.equal(bad.acked, 1, 'what came before it is stored');
  t.equal(stepState(run.state, 0, 0), 'waiting', 'what came after it is not');
  t.equal(fleet.agent('n1').acked, 1);
  t.equal(fleet.isConnected('n1'), true);
});

t.test('a node in doubt is held: nothing new for it until there is one machine again', async (t) => {
  const log = new MemoryLog();
  const { fleet, start } = engine(log);
  const runner = start();
  for (const name of NODES) fleet.connect(runner, name);
  const said = (): string[] => fleet.frames.splice(0).map(({ to, message }) => `${to} ${message.kind}`);
  const plain: PlanSketch = {
    nodes: NODES,
    roles: { r: ['one'] },
    plays: [{ name: 'p', nodes: NODES, roles: ['r'] }],
  };
  await runner.create(graphFrom(plain), { id: 'r1', by: 'me' });
  said();
  runner.doubt('n1', 'two machines');
  t.strictSame(said(), ['n1 hold'], 'what it has is held');
  for (const name of NODES) {
    const agent = fleet.agent(name);
    agent.take();
    for (const kind of ['start', 'end'])
      if (name !== 'n1')
        agent
          .moves(() => {})
          .find((move) => move.kind === kind)
          ?.run('OUTCOME_OK');
    fleet.deliver(runner, name);
  }
  await runner.idle();
  await runner.create(graphFrom({ ...plain, plays: [{ name: 'p', nodes: ['n1'], roles: ['r'] }] }), {
    id: 'r2',
    by: 'me',
  });
  runner.trust('n1');
  t.ok(said().includes('n1 resume'), 'and goes on');
});

t.test('repeated messages are stored once and acknowledged again', async (t) => {
  const log = new MemoryLog();
  const { fleet, start } = engine(log);
  const runner = start();
  fleet.connect(runner, 'n0');
  await runner.create(graphFrom(single), { id: 'r', by: '' });
  const agent = fleet.agent('n0');
  agent.take();
  const [accepted] = agent.unacked();
  const refuse = (): void => {
    t.fail('nothing is wrong');
  };
  for (let i = 0; i < 3 && accepted; i++) runner.receive('n0', 'j1', accepted.sequence, accepted.message, refuse);
  await runner.idle();
  if (accepted) runner.receive('n0', 'j1', accepted.sequence, accepted.message, refuse);
  agent.acked = 0;
  await runner.idle();
  t.equal(agent.acked, 1);
  t.equal(log.runs.get('r')?.events.filter((event) => event.kind === 'accepted').length, 1);
});

t.test('a full disk loses nothing', async (t) => {
  const log = new MemoryLog();
  const { fleet, start, troubles } = engine(log);
  const runner = start();
  for (const name of NODES) fleet.connect(runner, name);
  const run = await runner.create(graphFrom(single), { id: 'r', by: '' });
  log.failure = new KkError({ code: 'DISK_FULL', message: 'full', remedy: 'Make room.' });
  for (const name of NODES) {
    fleet.agent(name).take();
    fleet.deliver(runner, name);
  }
  await t.rejects(runner.idle(), { code: 'DISK_FULL' }, 'who waits is told');
  t.strictSame(
    NODES.map((name) => fleet.agent(name).acked),
    [0, 0, 0],
    'nothing is acknowledged',
  );
  t.strictSame([...fleet.refused.keys()], NODES, 'the agents are told why, and keep it');
  runner.cancel('r', 'me');
  await t.rejects(runner.flush(), { code: 'DISK_FULL' });
  runner.tick();
  await t.rejects(runner.flush());
  t.match(troubles, [{ code: 'DISK_FULL' }], 'said once');
  t.equal(run.state.cancelled, false, 'what is not stored has not happened');

  log.failure = undefined;
  runner.tick();
  await runner.idle();
  t.equal(troubles.length, 2);
  t.equal(troubles[1], undefined, 'and said when it is over');
  for (const name of NODES) fleet.connect(runner, name);
  await fleet.settle(runner);
  t.equal(run.state.status, 'cancelled', 'what was asked for meanwhile is done');
  t.strictSame(
    NODES.map((name) => fleet.agent(name).unacked().length),
    [0, 0, 0],
  );
});

t.test('patience', async (t) => {
  const { fleet, start, clock } = engine(new MemoryLog());
  const runner = start();
  fleet.connect(runner, 'n0');
  fleet.connect(runner, 'n1');
  const run = await runner.create(graphFrom(single), { id: 'r', by: '' });
  fleet.agent('n0').take();
  fleet.deliver(runner, 'n0');
  fleet.disconnect('n1'); // the push to it was under way
  const after = async (ms: number): Promise<string[]> => {
    clock.ms = 1_000_000 + ms;
    runner.tick();
    await runner.idle();
    return run.state.nodes.map(String);
  };
  t.strictSame(await after(299_999), ['accepted', 'waiting', 'waiting']);
  t.strictSame(await after(300_000), ['accepted', 'waiting', 'given_up'], 'nothing was sent to it');
  t.match(run.state.nodeErrors[2], { code: 'NODE_NOT_CONNECTED' });
  t.strictSame(await after(3_629_999), ['accepted', 'waiting', 'given_up']);
  t.strictSame(
    await after(3_630_000),
    ['given_up', 'given_up', 'given_up'],
    'lease and margin: also where a push may have arrived, and where the connection only looks alive',
  );
  t.equal(run.state.status, 'failed');

  const rebooted = await runner.create(
    graphFrom({
      nodes: NODES,
      roles: { a: [{ id: 't', action: 'reboot', inputs: { timeout_seconds: 90 } }] },
      plays: [{ name: 'p', nodes: ['n0'], roles: ['a'] }],
    }),
    { id: 'b', by: '' },
  );
  const n0 = fleet.agent('n0');
  while (n0.inbox.length > 0) n0.take();
  const start0 = n0.moves(() => {}).find(({ kind, label }) => kind === 'start' && label.startsWith('b/'));
  start0?.run('OUTCOME_OK');
  fleet.deliver(runner, 'n0');
  await runner.idle();
  fleet.disconnect('n0');
  clock.ms += 89_000;
  runner.tick();
  await runner.idle();
  t.equal(rebooted.state.status, 'running');
  clock.ms += 1_000;
  runner.tick();
  await runner.idle();
  t.match(rebooted.state.nodeErrors[0], { code: 'REBOOT_NOT_BACK', message: /n0 was told to restart.* 90 s/ });
  t.equal(rebooted.state.status, 'failed');

  const exec = await runner.create(
    graphFrom({ ...single, plays: [{ name: 'p', nodes: ['n2'], roles: ['a'] }] }, { kind: 'exec' }),
    {
      ...{ id: 'e', by: '' },
    },
  );
  clock.ms += 10_000;
  runner.tick();
  await runner.idle();
  t.equal(exec.state.status, 'failed', 'a person waits: ten seconds');
});

// Random plans, random order, controllers that are killed, nodes that fail, vanish and come back.
const need = fc.record({ back: fc.integer({ min: 1, max: 6 }), of: fc.constantFrom('same', 'all', 'first', 'any') });
const task = fc.record({
  runOnce: fc.boolean(),
  ignoreErrors: fc.boolean(),
  permit: fc.option(fc.integer({ min: 1, max: 2 }), { freq: 3 }),
  needs: fc.option(fc.array(need, { maxLength: 2 })),
});
const sketch = fc
  .record({
    nodes: fc.integer({ min: 1, max: 4 }),
    roles: fc.array(fc.array(task, { minLength: 1, maxLength: 3 }), { minLength: 1, maxLength: 3 }),
    plays: fc.array(
      fc.record({
        mask: fc.integer({ min: 0, max: 15 }),
        serial: fc.option(fc.integer({ min: 1, max: 2 })),
        budget: fc.option(fc.constantFrom(0, 30, 60)),
        afterAll: fc.boolean(),
      }),
      { minLength: 3, maxLength: 3 },
    ),
    precheck: fc.boolean(),
  })
  .map(({ nodes, roles, plays, precheck }): PlanSketch => {
    const names = Array.from({ length: nodes }, (_, i) => `n${i}`);
    const ids = roles.flatMap((tasks, role) => tasks.map((_, i) => `t${role}${i}`));
    const taskOf = ({ permit, needs, ...rest }: (typeof roles)[number][number], id: string): TaskSketch => {
      const at = ids.indexOf(id);
      const stated = needs?.flatMap(({ back, of }) => (ids[at - back] ? [{ task: ids[at - back] as string, of }] : []));
      return {
        ...rest,
        id,
        ...(permit === null ? {} : { permit: { name: 'p', count: permit } }),
        ...(stated ? { needs: stated as never } : {}),
      };
    };
    return {
      nodes: names,
      roles: Object.fromEntries(
        roles.map((tasks, role) => [`r${role}`, tasks.map((one, i) => taskOf(one, `t${role}${i}`))]),
      ),
      plays: roles.map((_, role) => ({
        name: `p${role}`,
        nodes: names.filter((_, i) => ((plays[role]?.mask ?? 15) >> i) & 1),
        roles: [`r${role}`],
        serial: plays[role]?.serial ? [plays[role].serial] : undefined,
        maxFailPercentage: plays[role]?.budget ?? undefined,
        afterAll: plays[role]?.afterAll ?? false,
        precheck: precheck && role === 0,
      })),
    };
  });

/** What must be the same after a replay; wishes are not stored, agents repeat them. */
function essence(state: RunState): unknown {
  const { status, cancelled, steps, pending, nodes, counts, gates, permits, stopped, registers } = state;
  const held = [...permits].filter(([, permit]) => permit.holders.size > 0 || permit.stuck !== undefined);
  return {
    ...{ status, cancelled, steps: [...steps], pending: [...pending], nodes, counts, stopped: [...stopped] },
    gates: [...gates.values()].map(({ gate, ...rest }) => ({ id: gate.id, ...rest })),
    permits: held.map(([name, permit]) => [name, [...permit.holders].sort(), permit.stuck]),
    registers: [...registers],
  };
}

/** Every need of a step, looked up in what the controller has stored, by the words of ENGINE 1.2. */
function unsatisfied(state: RunState, task: number, node: number): string[] {
  const { graph } = state;
  const good = (of: number, at: number): boolean =>
    satisfies(stepState(state, of, at) ?? 'ok', graph.tasks[of]?.ignoreErrors ?? false);
  const batch = graph.plays[graph.tasks[task]?.play ?? -1]?.batchOf?.[node] ?? 0;
  const waits = graph.common.tasks[task]?.needs ?? [];
  const needs = batch > 0 ? [...waits, { gate: `batch/${graph.tasks[task]?.play}/${batch - 1}` }] : waits;
  return needs.flatMap((need) => {
    if ('task' in need) return [];
    const gate = graph.gates.find(({ id }) => id === need.gate);
    const ended = (of: number, nodes: readonly number[]): boolean =>
      nodes.every((at) => hasEnded(stepState(state, of, at) ?? 'ok'));
    const members = gate && 'task' in gate ? (graph.sets[graph.tasks[gate.task]?.set ?? -1]?.members ?? []) : [];
    const inPlay = (test: (play: (typeof graph.plays)[number]) => boolean) =>
      graph.tasks.filter(({ play }) => test(graph.plays[play] as never));
    const holds = (() => {
      switch (gate?.kind) {
        case 'all': {
          const budget = graph.plays[graph.tasks[gate.task]?.play ?? -1]?.budget ?? 0;
          const bad = members.filter((at) => !good(gate.task, at)).length;
          return ended(gate.task, members) && bad * 100 <= budget * members.length;
        }
        case 'first':
          return members.slice(0, 1).every((at) => good(gate.task, at));
        case 'any':
          return members.length === 0 || members.some((at) => good(gate.task, at));
        case 'precheck':
          return inPlay((play) => play.precheck).every(({ index, set }) =>
            (graph.sets[set]?.members ?? []).every((at) => good(index, at)),
          );
        case 'batch':
          return inPlay((play) => play.index === gate.play).every(({ index, set }) =>
            ended(
              index,
              (graph.sets[set]?.members ?? []).filter((at) => graph.plays[gate.play]?.batchOf?.[at] === gate.batch),
            ),
          );
        default:
          return true;
      }
    })();
    return holds ? [] : [need.gate];
  });
}

t.test('every run ends, no step begins too early, a replay gives the same state', async (t) => {
  let [runs, ends] = [0, new Set<string>()];
  const property = fc.asyncProperty(sketch, fc.integer({ min: 1 }), fc.boolean(), async (plan, seed, rough) => {
    const compiled = compile(planFrom(plan));
    if ('problems' in compiled) return;
    runs += 1;
    let random = seed % 2147483647 || 1;
    const pick = (below: number): number => {
      random = (random * 48271) % 2147483647;
      return random % below;
    };
    const log = new MemoryLog();
    const { fleet, start, troubles } = engine(log, plan.nodes);
    let runner = start();
    for (const [i, name] of plan.nodes.entries()) {
      const agent = fleet.agent(name);
      agent.onBegin = (_, task, revision) => {
        const active = runner.active.get('r');
        // With an older revision it goes by what the controller knew then.
        const state = active?.record.revision === revision ? active.state : undefined;
        const early = state && state.nodes[i] !== 'given_up' ? unsatisfied(state, task, i) : [];
        if (early.length > 0) throw new Error(`${name} began ${task} without ${early}`);
      };
      fleet.connect(runner, name);
    }
    await runner.create(compiled.graph, { id: 'r', by: '' });
    let disturbances = rough ? 6 : 0;
    for (let turn = 0; runner.active.has('r'); turn++) {
      if (turn > 3000) throw new Error('the run does not end');
      const agents = [...fleet.agents.values()];
      const agent = agents[pick(agents.length)];
      if (!agent) continue;
      if (!agent.connected && pick(3) === 0) fleet.connect(runner, agent.name);
      else if (agent.connected) {
        if (agent.inbox.length > 0 && pick(2) === 0) agent.take();
        const moves = agent.moves((...wish) => runner.permitWanted(agent.name, ...wish));
        const outcome: WireOutcome =
          pick(6) === 0 ? 'OUTCOME_FAILED' : pick(8) === 0 ? 'OUTCOME_SKIPPED' : 'OUTCOME_OK';
        moves[pick(Math.max(1, moves.length))]?.run(outcome);
        if (pick(2) === 0) fleet.deliver(runner, agent.name);
      }
      if (pick(2) === 0) await runner.idle();
      if (disturbances > 0 && pick(12) === 0) {
        disturbances -= 1;
        const what = pick(10);
        const node = pick(agents.length);
        const error = { code: 'NODE_LOST', message: 'gone', remedy: '' };
        if (what < 3) fleet.disconnect(agent.name);
        else if (what === 3) runner.record('r', { kind: 'given_up', at: 0, node, error });
        else if (what === 4) runner.record('r', { kind: 'cancel', at: 0, by: '' });
        else if (what > 7)
          await runner
            .revise('r', (run) => ({ how: 'skip', by: '', rerun: [], skip: run.revision?.skip ?? [] }))
            // It has ended well meanwhile.
            .catch((error: { code: string }) => t.equal(error.code, 'RUN_NOT_RESUMABLE'));
        else {
          await runner.idle();
          for (const name of plan.nodes) fleet.disconnect(name);
          const live = runner.active.get('r');
          runner = start();
          await runner.recover();
          const again = runner.active.get('r');
          if (live && again && live.sequence === again.sequence)
            t.strictSame(essence(again.state), essence(live.state));
        }
      }
    }
    const stored = log.runs.get('r');
    const replayed = replay(graphFromJson(stored?.graphJson ?? ''), stored?.events ?? []);
    ends.add(replayed.status);
    if (replayed.pendingTotal !== 0) throw new Error('it ended with steps that have not');
    if (troubles.length > 0) throw troubles[0];
  });
  await fc.assert(property, { numRuns: 150 });
  t.comment(`${runs} runs, ${[...ends]}`);
  t.ok(runs > 40, 'most random plans compile');
  t.ok(ends.size >= 3, 'and end in several ways');
});
