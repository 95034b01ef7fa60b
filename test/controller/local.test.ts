/** Tasks of the controller's own: where they stand in the graph, when they are done, and what becomes of them. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import t from 'tap';
import type { Cli } from '../../controller/cli/cli.ts';
import { Answers } from '../../controller/cli/confirming.ts';
import type { TaskGraph } from '../../controller/compile/graph.ts';
import { shareOf } from '../../controller/compile/share-of.ts';
import { openSealKey } from '../../controller/pki/seal-key.ts';
import { Confirmations } from '../../controller/run/local/confirmations.ts';
import type { LocalActions, LocalWork } from '../../controller/run/local/local-action.ts';
import type { LocalParts } from '../../controller/run/local/worker.ts';
import { pastOf } from '../../controller/run/past.ts';
import { planRollback } from '../../controller/run/rollback.ts';
import { Runner } from '../../controller/run/runner.ts';
import { stepState } from '../../controller/run/state.ts';
import { kubeconfigs } from '../../controller/store/kubeconfigs.ts';
import { KkError } from '../../shared/errors.ts';
import type { StepState } from '../../shared/lifecycle.ts';
import { bytesJson, jsonBytes } from '../../shared/protocol/codec.ts';
import { newSealKey, seal, unseal } from '../../shared/seal.ts';
import type { Json } from '../../shared/share.ts';
import { NOTHING_LOCAL } from '../support/local-parts.ts';
import { graphFrom, type PlanSketch, problemsFrom, type TaskSketch, waitsIn } from '../support/plan-builder.ts';
import { HandClock, MemoryLog, SimulatedFleet } from '../support/simulated-fleet.ts';

const NODES = ['n0', 'n1', 'n2'];
const OPTIONS = { leaseMs: 3_600_000, leaseMarginMs: 30_000, connectTimeoutMs: 300_000, execTimeoutMs: 10_000 };

const SIGN = {
  id: 'sign',
  place: 'controller' as const,
  per: ['all'],
  action: 'pki.issue',
  inputs: { ca: 'etcd', csr: '{{ request.csr }}', subject: { CN: 'etcd' }, usages: ['server'] },
  places: { '/inputs/csr': [1, 1] as [number, number] },
  register: { name: 'signed', type: 'any' as const },
};
const REQUEST = { id: 'request', register: { name: 'request', type: 'any' as const } };
const WRITE = { id: 'write', inputs: { shell: '{{ signed.certificate }}' } };
const CONFIRM = {
  id: 'sure',
  place: 'controller' as const,
  action: 'confirm',
  inputs: { message: 'Delete it?' },
};

function planOf(tasks: TaskSketch[], more: Partial<PlanSketch['plays'][number]> = {}): PlanSketch {
  return { nodes: NODES, roles: { r: tasks }, plays: [{ name: 'p', nodes: NODES, roles: ['r'], ...more }] };
}

function engine() {
  const clock = new HandClock();
  const fleet = new SimulatedFleet(NODES, clock);
  const log = new MemoryLog();
  const done: LocalWork[] = [];
  const confirmations = { now: new Confirmations() };
  /** What a step of the controller does instead of what it is meant to. */
  const odd: {
    act?: (work: LocalWork) => Promise<void>;
    facts?: () => Promise<undefined>;
    timer?: LocalParts['timer'];
  } = {};
  const key = newSealKey();
  const actions: LocalActions = {
    ...NOTHING_LOCAL.actions,
    confirm: { act: (work) => confirmations.now.act(work) },
    'pki.issue': {
      async act(work) {
        done.push(work);
        await odd.act?.(work);
        return { changed: true, output: { certificate: `for ${work.node}`, ca: 'ca' } };
      },
      async undo(work) {
        done.push({ ...work, inputs: 'undo' });
        return { restored: ['it'], left: [] };
      },
    },
    'secret.make': {
      async act(work) {
        done.push(work);
        return { changed: true, output: { name: 'a' } };
      },
    },
  };
  const start = (): Runner => {
    confirmations.now = new Confirmations();
    return new Runner({
      ...{ log, dispatcher: fleet, clock, options: OPTIONS, watcher: { events: () => {} } },
      local: {
        ...NOTHING_LOCAL,
        actions,
        facts: async () => odd.facts?.(),
        timer: odd.timer ?? NOTHING_LOCAL.timer,
        unseal: (value) => unseal(key.privateKey, value),
      },
      trouble(error) {
        if (error !== undefined) throw error;
      },
    });
  };
  for (const name of NODES)
    fleet.agent(name).resultOf = (task) => ({
      changed: true,
      ...(task === 0 ? { register: { csr: `of ${name}` } } : {}),
    });
  return { clock, fleet, log, done, odd, key, confirmations, start };
}

/** Until nothing moves, neither on nodes nor at the controller. */
async function settle(
  runner: Runner,
  fleet: SimulatedFleet,
  ...more: Parameters<SimulatedFleet['settle']> extends [unknown, ...infer Rest] ? Rest : never
) {
  for (let round = 0; round < 4; round++) {
    await fleet.settle(runner, ...more);
    await setImmediate();
  }
  await runner.idle();
}

function statesOf(log: MemoryLog, runner: Runner, id: string, task: number): (StepState | undefined)[] {
  const { state } = runner.active.get(id) ?? {};
  return state
    ? NODES.map((_, node) => stepState(state, task, node))
    : (log.runs
        .get(id)
        ?.events.flatMap((event) => (event.kind === 'ended' && event.task === task ? [event.outcome] : [])) ?? []);
}

t.test('in the graph a member is its node: no barrier, one gate for a relation, nothing in the share', async (t) => {
  const graph = graphFrom(planOf([REQUEST, SIGN, WRITE]));
  t.same(waitsIn(graph), { 'r/request': [], 'r/sign': ['same r/request'], 'r/write': ['same r/sign'] });
  t.same(graph.common.tasks[2]?.needs, [{ gate: 'same/1' }]);
  t.same(shareOf(graph, 0).tasks, [0, 2]);
  t.equal(graph.common.tasks[0]?.register?.exported, true, 'what the controller reads is told to it');
  const many = Array.from({ length: 5000 }, (_, i) => `m${i}`);
  const large = graphFrom({ ...planOf([REQUEST, SIGN, WRITE], { nodes: many }), nodes: many });
  t.equal(large.gates.length, 1);
  t.equal(large.sets.length, graph.sets.length);

  const once = graphFrom(planOf([REQUEST, CONFIRM, 'after']));
  t.same(once.sets[once.tasks[1]?.set ?? -1]?.members, [0]);
  t.same(waitsIn(once), { 'r/request': [], 'r/sure': ['same r/request'], 'r/after': ['all r/sure', 'same r/request'] });

  const [some, elsewhere] = ['some', 'elsewhere'].map((name) =>
    graphFrom({
      ...planOf([REQUEST, { ...SIGN, per: [name] }, WRITE], name === 'some' ? {} : { nodes: ['n0', 'n1'] }),
      groups: { some: ['n1'], elsewhere: ['n2'] },
    }),
  );
  t.same(
    some && waitsIn(some)['r/write'],
    ['same r/sign', 'same r/request'],
    'who is no member follows the task before',
  );
  t.same(elsewhere && waitsIn(elsewhere)['r/write']?.[0], 'all r/sign', 'members outside the play hold it as on: does');

  const free = graphFrom(
    planOf([REQUEST, { ...SIGN, needs: [] }, { ...WRITE, needs: [] }, { id: 'other', needs: [] }]),
  );
  t.same(
    waitsIn(free),
    { 'r/request': [], 'r/sign': ['same r/request'], 'r/write': ['same r/sign'], 'r/other': [] },
    'reading derives the edge',
  );
  t.match(problemsFrom(planOf([{ ...REQUEST, needs: [{ task: 'sign' }] }, SIGN])), [{ code: 'GRAPH_CYCLE' }]);

  const checked = graphFrom({
    ...planOf([CONFIRM, 'change']),
    plays: [
      { name: 'look', nodes: NODES, roles: ['c'], precheck: true },
      { name: 'p', nodes: NODES, roles: ['r'] },
    ],
    roles: { c: [{ id: 'check', action: 'check', inputs: { rule: 'swap' } }], r: [CONFIRM, 'change'] },
  });
  t.notOk(waitsIn(checked)['r/sure']?.includes('precheck'), 'what changes no node is not held by prechecks');
  t.ok(waitsIn(checked)['r/change']?.includes('precheck'));
});

t.test('each member goes its own way; one that fails stops its node alone', async (t) => {
  const { fleet, log, done, odd, start } = engine();
  const runner = start();
  for (const name of NODES) fleet.connect(runner, name);
  odd.act = async ({ node }) => {
    if (node === 'n1') throw new KkError({ code: 'CSR_INVALID', message: 'no', remedy: 'yes' });
  };
  await runner.create(graphFrom(planOf([REQUEST, SIGN, WRITE])), { id: 'r1', by: 'me' });
  await settle(runner, fleet);
  t.same(
    done.map(({ node, inputs }) => [node, inputs]),
    NODES.map((node) => [
      node,
      {
        ca: 'etcd',
        csr: `of ${node}`,
        subject: { CN: 'etcd' },
        sans: [],
        usages: ['server'],
        days: 365,
        renew: false,
      },
    ]),
  );
  t.same(done[0] && { plan: done[0].plan, run: done[0].run, task: done[0].task }, {
    plan: 'test',
    run: 'r1',
    task: 'p/r/sign',
  });
  const opened = fleet.frames.flatMap(({ to, message }) =>
    message.kind === 'open_gate' ? [[to, bytesJson(message.value.values)]] : [],
  );
  t.same(
    opened,
    ['n0', 'n2'].map((node) => [
      node,
      { signed: { certificate: `for ${node}`, ca: 'ca', changed: true, failed: false, skipped: false } },
    ]),
    'each is told of its own',
  );
  const events = log.runs.get('r1')?.events ?? [];
  t.match(
    events.filter(({ kind }) => kind === 'finished'),
    [{ status: 'failed' }],
  );
  t.match(
    events.find((event) => event.kind === 'ended' && event.outcome === 'failed'),
    { result: { error: { code: 'CSR_INVALID', node: 'n1', task: 'p/r/sign', position: { line: 1 } } } },
  );
  t.match(
    events.filter(({ kind }) => kind === 'blocked'),
    [{ node: 1, tasks: [2], cause: /CSR_INVALID/ }],
  );

  odd.act = async () => {};
  done.length = 0;
  for (const _ of ['once', 'and again']) {
    await runner.revise('r1', () => ({ how: 'retry', by: 'me', retry: [0, 2], rerun: [], skip: [] }));
    await settle(runner, fleet);
  }
  t.strictSame([...new Set(done.map(({ node }) => node))], ['n0', 'n2'], 'not for a node that the retry leaves out');
  t.match(
    (log.runs.get('r1')?.events ?? []).findLast((event) => event.kind === 'ended' && event.outcome === 'failed'),
    { result: { error: { code: 'CSR_INVALID', node: 'n1' } } },
    'there it has failed as before',
  );
  t.equal(log.runs.get('r1')?.record.status, 'failed');
  done.length = 0;
  const again = { how: 'retry' as const, by: 'me', retry: [], rerun: [{ task: 1, nodes: [1] }], skip: [] };
  await runner.revise('r1', () => again);
  await settle(runner, fleet);
  t.ok(
    done.some(({ node }) => node === 'n1'),
    'unless it is asked for by name',
  );
  done.length = 0;
  await runner.revise('r1', () => ({ how: 'retry', by: 'me', rerun: [], skip: [] }));
  await settle(runner, fleet);
  t.equal(log.runs.get('r1')?.record.status, 'done', 'a retry does them again');
  t.same(
    done.map(({ node }) => node),
    NODES,
  );
});

t.test('inputs of a node are not trusted, nor is its word on what the controller does', async (t) => {
  const { fleet, log, done, start } = engine();
  const runner = start();
  for (const name of NODES) fleet.connect(runner, name);
  fleet.agent('n2').resultOf = () => ({ changed: true, register: { csr: ['x'] } });
  await runner.create(graphFrom(planOf([REQUEST, SIGN])), { id: 'r1', by: 'me' });
  await settle(runner, fleet);
  t.same(
    done.map(({ node }) => node),
    ['n0', 'n1'],
  );
  t.match(
    log.runs.get('r1')?.events.find((event) => event.kind === 'ended' && event.outcome === 'failed'),
    { result: { error: { code: 'ACTION_INPUT', node: 'n2' } } },
  );

  await runner.create(graphFrom(planOf([CONFIRM])), { id: 'r2', by: 'me' });
  fleet.agent('n0').say({
    kind: 'ended',
    value: {
      run: 'r2',
      revision: 1,
      task: 0,
      outcome: 'OUTCOME_OK',
      result: jsonBytes({ changed: false }),
      at_ms: 0,
      duration_ms: 0,
    },
  } as never);
  fleet.deliver(runner, 'n0');
  await runner.idle();
  t.match(fleet.refused.get('n0'), { report: { code: 'FRAME_MALFORMED' } });
});

t.test('what fails for a moment is tried again, and holds up nobody meanwhile', async (t) => {
  const { fleet, log, done, odd, start } = engine();
  const timers: { ms: number; then: () => void }[] = [];
  odd.timer = (ms, then) => {
    timers.push({ ms, then });
    return { cancel() {} };
  };
  let code = 'AWAY';
  odd.act = async ({ node }) => {
    if (node === 'n1') throw new KkError({ code, message: 'The mirror is away.', remedy: 'Wait.' });
  };
  const runner = start();
  for (const name of NODES) fleet.connect(runner, name);
  const tries = (): number => done.filter(({ node }) => node === 'n1').length;
  const sign = { ...SIGN, retries: 2, delay: 7 };
  const fire = async (): Promise<void> => {
    for (const { then } of timers.splice(0)) then();
    await settle(runner, fleet);
  };
  await runner.create(graphFrom(planOf([REQUEST, sign])), { id: 'r1', by: 'me' });
  await settle(runner, fleet);
  t.match([tries(), timers], [1, [{ ms: 7000 }]]);
  t.same(statesOf(log, runner, 'r1', 1), ['ok', 'begun', 'ok'], 'it has not failed yet');
  await fire();
  t.equal(tries(), 2);
  odd.act = async () => {};
  await fire();
  t.equal(log.runs.get('r1')?.record.status, 'done', 'the last attempt was good');

  odd.act = async ({ node }) => {
    if (node === 'n1') throw new KkError({ code, message: 'no', remedy: 'yes' });
  };
  done.length = 0;
  await runner.create(graphFrom(planOf([REQUEST, sign])), { id: 'r2', by: 'me' });
  await settle(runner, fleet);
  await fire();
  await fire();
  await fire();
  t.same([tries(), log.runs.get('r2')?.record.status], [3, 'failed'], 'once, and two retries');

  done.length = 0;
  code = 'COMPONENT_WRONG_SHA256';
  await runner.create(graphFrom(planOf([REQUEST, sign])), { id: 'r3', by: 'me' });
  await settle(runner, fleet);
  t.same([tries(), log.runs.get('r3')?.record.status], [1, 'failed'], 'not what will be as wrong again');

  done.length = 0;
  code = 'AWAY';
  await runner.create(graphFrom(planOf([REQUEST, sign])), { id: 'r4', by: 'me' });
  await settle(runner, fleet);
  const triedOnce = tries();
  odd.act = () => new Promise(() => {});
  for (const id of ['r5', 'r6', 'r7', 'r8']) await runner.create(graphFrom(planOf([REQUEST, sign])), { id, by: 'me' });
  await settle(runner, fleet);
  runner.cancel('r4', 'me');
  await settle(runner, fleet);
  t.same(
    [triedOnce, log.runs.get('r4')?.record.status],
    [1, 'cancelled'],
    'a cancel waits for nothing: no slot is free',
  );
});

t.test('pause, cancel, timeouts and a controller that dies in the middle', async (t) => {
  const { fleet, log, done, odd, start } = engine();
  const runner = start();
  for (const name of NODES) fleet.connect(runner, name);
  let release = (): void => {};
  const waiting = (): Promise<void> => new Promise((resolve) => (release = resolve));
  odd.act = waiting;
  const graph = graphFrom(planOf([REQUEST, { ...SIGN, per: ['n0'] }, 'after']));
  await runner.create(graph, { id: 'r1', by: 'me' });
  runner.pause('r1', 'me');
  await settle(runner, fleet);
  t.same(done, [], 'nothing begins while it is paused');
  runner.unpause('r1', 'me');
  await settle(runner, fleet);
  t.same(statesOf(log, runner, 'r1', 1), ['begun', undefined, undefined]);
  runner.close();
  release();
  await setImmediate();
  const next = start();
  await next.recover();
  for (const name of NODES) fleet.connect(next, name);
  await settle(next, fleet);
  t.equal(done.length, 2, 'the next one begins it anew');
  release();
  await settle(next, fleet);
  t.equal(log.runs.get('r1')?.record.status, 'done');

  await next.create(graph, { id: 'r2', by: 'me' });
  await settle(next, fleet);
  next.cancel('r2', 'me');
  await settle(next, fleet);
  t.equal(done.at(-1)?.signal.aborted, true);
  t.equal(log.runs.get('r2')?.record.status, 'cancelled');
});

t.test('a yes is asked for once, as long as the question is the same', async (t) => {
  const { fleet, log, confirmations, start } = engine();
  const runner = start();
  for (const name of NODES) fleet.connect(runner, name);
  const graph = (message: string) => graphFrom(planOf([{ ...CONFIRM, inputs: { message } }, 'after']));
  await runner.create(graph('Delete it?'), { id: 'r1', by: 'me' });
  await settle(runner, fleet);
  const asked = () =>
    (log.runs.get('r1')?.events ?? []).flatMap((event) => (event.kind === 'begun' ? (event.asks ?? []) : []));
  t.same(asked(), ['Delete it?']);
  t.throws(() => confirmations.now.answer('r0', { yes: true, by: 'me' }), { code: 'CONFIRM_NOT_ASKED' });
  confirmations.now.answer('r1', { yes: true, by: 'me' });
  await settle(runner, fleet, (node) => (node === 'n0' ? 'OUTCOME_FAILED' : 'OUTCOME_OK'));
  t.equal(log.runs.get('r1')?.record.status, 'failed');

  const wish = { how: 'resume' as const, by: 'me', rerun: [], skip: [] };
  await runner.revise('r1', () => wish);
  await settle(runner, fleet, (node) => (node === 'n0' ? 'OUTCOME_FAILED' : 'OUTCOME_OK'));
  t.match(
    log.runs.get('r1')?.events.find((event) => event.kind === 'ended' && event.result.kept),
    { task: 0, outcome: 'ok' },
  );
  t.equal(log.runs.get('r1')?.record.status, 'failed', 'it went on to what had failed');

  await runner.revise('r1', () => ({ ...wish, graph: graph('Delete all?') }));
  await settle(runner, fleet);
  t.same(asked(), ['Delete it?', 'Delete all?'], 'another question is another one');
  await runner.revise('r1', () => ({ ...wish, how: 'skip', skip: [{ task: 0, reason: 'known' }] }));
  await settle(runner, fleet);
  t.same(asked().length, 2);
  t.throws(() => confirmations.now.answer('r1', { yes: true, by: 'me' }), { code: 'CONFIRM_NOT_ASKED' });
  t.match(
    log.runs.get('r1')?.events.findLast((event) => event.kind === 'ended' && event.task === 0),
    {
      outcome: 'skipped',
      result: { reason: 'known' },
    },
  );
  t.equal(log.runs.get('r1')?.record.status, 'done');
});

t.test('a yes is for whom it was asked', async (t) => {
  const { fleet, log, confirmations, start } = engine();
  const runner = start();
  for (const name of NODES) fleet.connect(runner, name);
  await runner.create(graphFrom(planOf([{ ...CONFIRM, per: ['all'] }])), { id: 'r1', by: 'me' });
  await settle(runner, fleet);
  const answer = (node?: string) =>
    confirmations.now.answer('r1', { yes: true, by: 'me', task: 'p/r/sure', ...(node === undefined ? {} : { node }) });
  answer('n1');
  t.throws(() => answer('n1'), { code: 'CONFIRM_NOT_ASKED' });
  await settle(runner, fleet);
  t.same(statesOf(log, runner, 'r1', 0), ['begun', 'ok', 'begun']);
  answer();
  await settle(runner, fleet);
  t.equal(log.runs.get('r1')?.record.status, 'done');
});

t.test('of what was skipped, or failed and is ignored, a condition sees that', async (t) => {
  const { fleet, log, done, start } = engine();
  const runner = start();
  for (const name of NODES) {
    fleet.connect(runner, name);
    fleet.agent(name).resultOf = () => ({ changed: false });
  }
  const inputs = { ...SIGN.inputs, csr: 'a' };
  const when = ['request.skipped or request.failed'];
  await runner.create(
    graphFrom(
      planOf([
        { ...REQUEST, ignoreErrors: true },
        { ...SIGN, inputs, when },
      ]),
    ),
    {
      id: 'r1',
      by: 'me',
    },
  );
  await settle(runner, fleet, (node) => (node === 'n0' ? 'OUTCOME_SKIPPED' : 'OUTCOME_FAILED'));
  t.equal(log.runs.get('r1')?.record.status, 'done');
  t.equal(done.length, NODES.length);
});

t.test('nothing is asked after a cancel', async (t) => {
  const { fleet, log, odd, confirmations, start } = engine();
  const runner = start();
  for (const name of NODES) fleet.connect(runner, name);
  let release = (): void => {};
  odd.facts = () => new Promise((resolve) => (release = () => resolve(undefined)));
  await runner.create(graphFrom(planOf([{ ...CONFIRM, vars: { x: '{{ facts }}' } }])), { id: 'r1', by: 'me' });
  await settle(runner, fleet);
  runner.cancel('r1', 'me');
  await settle(runner, fleet);
  release();
  await settle(runner, fleet);
  t.equal(log.runs.get('r1')?.record.status, 'cancelled');
  t.same(
    log.runs.get('r1')?.events.filter(({ kind }) => kind === 'begun'),
    [],
  );
  const late = { run: 'r1', signal: AbortSignal.abort(new Error('over')) } as LocalWork;
  await t.rejects(confirmations.now.act(late), { message: 'over' });
  t.throws(() => confirmations.now.answer('r1', { yes: true, by: 'me' }), { code: 'CONFIRM_NOT_ASKED' });
});

t.test('a question shows nothing that is sealed; its answer is no secret', async (t) => {
  const { fleet, log, key, confirmations, start } = engine();
  const runner = start();
  for (const name of NODES) fleet.connect(runner, name);
  fleet.agent('n0').resultOf = (task) => ({
    changed: true,
    ...(task === 0 ? { register: seal(key.publicKey, { csr: 'hunter2' }) as unknown as Json } : {}),
  });
  const plan = (more: object) =>
    graphFrom(
      planOf([
        { ...REQUEST, on: ['n0'], sensitive: true },
        { ...CONFIRM, per: ['n0'], ...more },
      ]),
      {
        sealKey: key.publicKey,
      },
    );
  await runner.create(plan({ inputs: { message: 'Use {{ request.csr }}?' } }), { id: 'r1', by: 'me' });
  await settle(runner, fleet);
  const events = (run: string) => log.runs.get(run)?.events ?? [];
  t.match(
    events('r1').find((event) => event.kind === 'ended' && event.task === 1),
    { outcome: 'failed', result: { error: { code: 'CONFIRM_SECRET' } } },
  );
  t.notMatch(JSON.stringify(events('r1')), 'hunter2');

  await runner.create(plan({ when: ["request.csr == 'hunter2'"], sensitive: true }), { id: 'r2', by: 'me' });
  await settle(runner, fleet);
  confirmations.now.answer('r2', { yes: true, by: 'ada' });
  await settle(runner, fleet);
  t.match(
    events('r2').find((event) => event.kind === 'ended' && event.task === 1),
    { outcome: 'ok', result: { output: { by: 'ada' } } },
  );
});

t.test('what only the controller may read: sealed for its key, which survives, and for no other', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'kk-seal-'));
  t.teardown(() => rm(folder, { recursive: true }));
  const key = await openSealKey(folder);
  const sealed = seal(key.publicKey, { token: 'hunter2' });
  t.notMatch(JSON.stringify(sealed), 'hunter2');
  t.notSame(sealed, seal(key.publicKey, { token: 'hunter2' }), 'never the same twice');
  t.same((await openSealKey(folder)).unseal(sealed), { token: 'hunter2' });
  const flipped = Buffer.from(sealed.sealed, 'base64');
  flipped[3] = (flipped[3] ?? 0) ^ 1;
  t.throws(() => key.unseal({ ...sealed, sealed: flipped.toString('base64') }), 'one that was changed is not opened');
  t.throws(() => key.unseal(seal(newSealKey().publicKey, 1)), 'nor one for another controller');

  const secret = graphFrom(planOf([{ ...REQUEST, sensitive: true }, SIGN]), { sealKey: key.publicKey });
  t.equal(secret.common.tasks[0]?.register?.seal, key.publicKey);
  t.equal(graphFrom(planOf([REQUEST, SIGN]), { sealKey: key.publicKey }).common.tasks[0]?.register?.seal, undefined);
  const elsewhere = { id: 'far', inputs: { argv: ['{{ node("n0").request.csr }}'] } };
  t.same(problemsFrom(planOf([{ ...REQUEST, sensitive: true }, elsewhere])), []);
  t.match(problemsFrom(planOf([{ ...REQUEST, sensitive: true }, SIGN, elsewhere])), [{ code: 'READ_SEALED' }]);

  const { fleet, log, start } = engine();
  const runner = start();
  for (const name of NODES) fleet.connect(runner, name);
  fleet.agent('n0').resultOf = () => ({ changed: true, register: { csr: 'in the clear' } });
  await runner.create(secret, { id: 'r1', by: 'me' });
  await settle(runner, fleet);
  t.match(
    fleet.refused.get('n0'),
    { report: { code: 'FRAME_MALFORMED' } },
    'what should have been sealed is not stored',
  );
  t.notMatch(JSON.stringify(log.runs.get('r1')?.events), 'in the clear');
});

t.test('kubeconfigs: what was there before a run comes back, unless somebody has changed it since', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'kk-kubeconfigs-'));
  t.teardown(() => rm(folder, { recursive: true }));
  const kept = kubeconfigs(folder);
  const by = (run: string) => ({ run, task: 'p/r/keep' });
  t.equal(await kept.keep('lab', 'one', by('r1')), true);
  t.equal(await kept.keep('lab', 'one', by('r1')), false);
  t.equal(await kept.keep('lab', 'two', by('r2')), true);
  t.equal(await kept.keep('lab', 'three', by('r2')), true, 'a second time in the same run');
  await t.rejects(kept.restore(by('r1')), { code: 'UNDO_CONFLICT' });
  t.same(await kept.restore({ run: 'r2', task: 'other' }), { restored: [], left: [] });
  t.same(await kept.restore(by('r2')), { restored: ['the kubeconfig of lab'], left: [] });
  t.equal(await kept.read('lab'), 'one');
  t.same(await kept.restore(by('r2')), { restored: [], left: [] }, 'again changes nothing');
  await kept.restore(by('r1'));
  t.same(await kept.names(), []);
  await t.rejects(kept.read('lab'), { code: 'KUBECONFIG_UNKNOWN' });
  await t.rejects(kept.read('../pki/issuing'), { code: 'KUBECONFIG_UNKNOWN' });
});

t.test('a rollback asks the controller to take back what it did, in reverse', async (t) => {
  const { fleet, log, done, start } = engine();
  const runner = start();
  for (const name of NODES) fleet.connect(runner, name);
  const graph = graphFrom(planOf([REQUEST, { ...SIGN, per: ['n0', 'n1'] }, WRITE]));
  await runner.create(graph, { id: 'r1', by: 'me' });
  await settle(runner, fleet);
  const past = pastOf(
    { run: 'r1', graphs: [{ revision: 1, graph }], events: log.runs.get('r1')?.events ?? [] },
    new Set(),
  );
  const plan = planRollback(past, { tasks: ['sign'], nodes: [], withDependents: true });
  t.match(
    plan.undoes.find(({ task }) => task === 'p/r/sign'),
    { nodes: ['n0', 'n1'], why: 'by the controller' },
  );
  done.length = 0;
  await runner.create(plan.graph as TaskGraph, { id: 'r2', by: 'me' });
  await settle(runner, fleet);
  t.equal(log.runs.get('r2')?.record.status, 'done');
  t.match(
    done,
    ['n0', 'n1'].map((node) => ({ run: 'r1', plan: 'test', task: 'p/r/sign', node, inputs: 'undo' })),
  );
  const ends = log.runs
    .get('r2')
    ?.events.flatMap((event) => (event.kind === 'ended' ? [[event.node, event.task]] : []));
  t.ok(
    (ends?.findIndex(([node, task]) => node === 0 && task === 0) ?? 9) <
      (ends?.findIndex(([node, task]) => node === 0 && task === 1) ?? 0),
    'what leans on it is undone first',
  );
});

t.test('who follows a run is asked once, what is still open, and nothing is drawn over it', async (t) => {
  const told: unknown[] = [];
  const open = [{ node: 'n0', task: 'p/r/sure', message: 'Delete it?' }];
  const answers = ['y', ''];
  const answer = async (question: string): Promise<string> => {
    told.push(question);
    return answers.shift() ?? '';
  };
  const cli = (ask: boolean) =>
    ({
      client: {
        run: async () => ({ asks: open }),
        confirm: async (run: string, body: object) => void told.push({ run, ...body }),
      },
      parts: {
        settings: { user: 'ada' },
        ...(ask ? { ask: answer } : {}),
      },
    }) as unknown as Cli;
  const line = (task: string) =>
    ({ type: 'begun', at: '', node: 'n0', task, name: 'sure', role: 'r', play: 'p', asks: 'Delete it?' }) as const;
  const follow = async (ask: boolean, yes: boolean, ...tasks: string[]): Promise<unknown> => {
    let failure: unknown;
    const how = { yes, note: (text: string) => void told.push(text), hold: () => () => void told.push('drawn again') };
    const asking = new Answers(cli(ask), 'r1', how, (error) => {
      failure = error;
    });
    for (const task of tasks) asking.line(line(task));
    await setImmediate();
    await setImmediate();
    return failure;
  };
  await follow(true, false, 'p/r/past', 'p/r/sure', 'p/r/sure');
  const head = { run: 'r1', task: 'p/r/sure', node: 'n0', by: 'ada' };
  t.same(told.splice(0), [
    ...['Delete it? Go on? [y/N] ', 'drawn again', { ...head, yes: true }],
    ...['Delete it? Go on? [y/N] ', 'drawn again', { ...head, yes: false }],
  ]);
  await follow(false, true, 'p/r/sure');
  t.same(told.splice(0), ['Delete it? Confirmed: --yes.', { ...head, yes: true }]);
  t.match(await follow(false, false, 'p/r/sure'), { code: 'CONFIRM_NEEDED', remedy: /runs confirm r1/ });
  t.same(told, []);
});
