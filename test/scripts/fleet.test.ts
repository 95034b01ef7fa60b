import t from 'tap';
import { graphOf } from '../../scripts/bench/compile.ts';
import { behaviourOf } from '../../scripts/fleet/behaviour.ts';
import { chain, type FleetPlan } from '../../scripts/fleet/plans.ts';
import { Site } from '../../scripts/fleet/site.ts';
import { Audit } from '../../scripts/soak/audit.ts';
import { slopeOf } from '../../scripts/soak/memory.ts';

const SEED = 7;

t.test('the same seed gives the same behaviour, another one another', async (t) => {
  const place = { seed: SEED, node: 'm0001', step: '3/0.1' };
  const draw = (seed: number, text = 'make ms=100..900 fail=0.5 code=3') =>
    behaviourOf(text, { ...place, seed }, { ms: [1, 2], fail: 0 });
  t.same(draw(SEED), draw(SEED));
  const draws = Array.from({ length: 200 }, (_, seed) => draw(seed));
  t.ok(draws.every(({ durationMs }) => durationMs >= 100 && durationMs <= 900));
  const failures = draws.filter(({ code }) => code === 3).length;
  t.ok(failures > 70 && failures < 130, `${failures} of 200 failed where half should`);
  t.same(draw(1, 'make ms=5').durationMs, 5);
  t.same(draw(1, 'make').code, 0, 'what a command does not say is as the fleet has it');
});

t.test('fifty machines, gates, failures and a killed process: the run ends as the model says', async (t) => {
  const site = await Site.open({ agents: 50, processes: 2, seed: SEED, work: { ms: [0, 0], fail: 0 } });
  t.teardown(() => site.close());
  const { client } = site.controller;
  t.equal((await client.status()).nodes.connected, 50);

  const nodes = site.fleet.names;
  const plan: FleetPlan = {
    name: 'modelled',
    nodes,
    plays: [
      { ...chain('tolerant', 6, 'ms=50..400 fail=0.015', 2), max_fail_percentage: 30 },
      // So long that what all have in common does not come with the push: each agent asks for it.
      chain('strict', 4, `ms=20..150 fail=0.01 ${'x'.repeat(20_000)}`, 2),
    ],
  };
  const run = await site.apply(plan);
  const [ledger] = site.fleet.ledgers();
  let begun = 0;
  // In the middle of its commands: what each machine does goes on, and who did it is gone.
  while (begun < 60) begun += (await ledger?.more())?.filter((deed) => 'began' in deed).length ?? 0;
  await site.fleet.kill(0);
  await site.fleet.revive(0);
  const { status } = await site.ended(run);
  t.equal(status, 'failed');

  const view = await client.run(run);
  const sum = (what: 'ok' | 'failed' | 'blocked'): number => view.nodes.reduce((total, node) => total + node[what], 0);
  t.ok(sum('failed') > 0 && sum('blocked') > sum('failed'), `${sum('failed')} failed, ${sum('blocked')} blocked`);
  t.ok(sum('ok') > 200, 'most of the tolerant play was done nevertheless');
  const audit = new Audit(site.fleet.ledgers(), SEED);
  t.equal(await audit.check(run, graphOf(plan), view), 500);
  t.same(audit.findings, { lost: 0, twice: 0, examples: [] });
  await site.fleet.stop();
  t.same(site.fleet.fatal, []);
});

t.test('an audit finds what it is there for', async (t) => {
  const plan: FleetPlan = { name: 'small', nodes: ['a'], plays: [chain('work', 2, 'ms=1')] };
  const began = (step: number) => ({
    node: 'a',
    began: { folder: `/x/run/${step}/0.1/command-1`, boot: '', begunMs: 0, endsMs: 1, code: 0, output: 0 },
  });
  const node = {
    node: 'a',
    state: 'done',
    ok: 1,
    changed: 1,
    skipped: 0,
    failed: 0,
    ignored: 0,
    rescued: 0,
    kept: 0,
    blocked: 0,
    pending: 0,
  };
  const told = { nodes: [{ ...node, at: [] }] };
  const audit = new Audit([{ more: async () => [began(0), began(0)] }], SEED);
  await audit.check('run', graphOf(plan), told);
  t.match(audit.findings.examples, [/twice: run a 0: begun 2/, /lost: run a 1: never/, /lost: run a: told/]);
});

t.test('the slope is of the last life, without its warming up', async (t) => {
  const MIB = 2 ** 20;
  const old = [0, 1, 2].map((minute) => ({ atMs: minute * 60_000, life: 1, bytes: 900 * MIB }));
  const grows = [3, 4, 5, 6, 7].map((minute) => ({ atMs: minute * 60_000, life: 2, bytes: (100 + 2 * minute) * MIB }));
  const warming = { atMs: 2.9 * 60_000, life: 2, bytes: 10 * MIB };
  t.match(slopeOf([...old, warming, ...grows], 0.2), { mibPerMinute: 2, samples: 4, lastMib: 114 });
  t.equal(slopeOf([...old, warming], 0.2), undefined);
});
