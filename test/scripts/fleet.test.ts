import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import t from 'tap';
import type { UpgradeLine } from '../../controller/cli/client.ts';
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

t.test('two hundred machines join and are upgraded, batch after batch', async (t) => {
  const packages = t.testdir({ [`linux-${process.arch}`]: {} });
  const executable = Buffer.from('an agent of another version');
  const gz = gzipSync(executable);
  const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
  const manifest = {
    ...{ version: '0.2.0', arch: process.arch, inputs: sha256(gz) },
    binary: { sha256: sha256(executable), size: executable.length },
    gz: { sha256: sha256(gz), size: gz.length },
  };
  await writeFile(join(packages, `linux-${process.arch}`, 'manifest.json'), JSON.stringify(manifest));
  await writeFile(join(packages, `linux-${process.arch}`, 'kk-agent.gz'), gz);
  const began = performance.now();
  const site = await Site.open({ agents: 200, processes: 2, seed: SEED, work: { ms: [0, 0], fail: 0 }, packages });
  t.teardown(() => site.close());
  t.comment(`200 joined over TLS and connected in ${((performance.now() - began) / 1000).toFixed(1)} s`);

  const { client } = site.controller;
  const upgrade = async (): Promise<UpgradeLine[]> => {
    const lines: UpgradeLine[] = [];
    const wish = { selector: [], batch: 50, limitSeconds: 60 };
    for await (const line of client.upgrade(wish, new AbortController().signal)) lines.push(line);
    return lines;
  };
  const started = performance.now();
  const lines = await upgrade();
  t.comment(`200 upgraded in batches of 50 in ${((performance.now() - started) / 1000).toFixed(1)} s`);
  t.equal(lines.filter(({ result }) => result === 'upgraded').length, 200);
  const under = { now: 0, most: 0 };
  for (const { done, phase } of lines) {
    if (phase === 'asked') under.now += 1;
    else if (done) under.now -= 1;
    under.most = Math.max(under.most, under.now);
  }
  t.equal(under.most, 50, 'never more than a batch at once');
  const release = `0.2.0-${manifest.binary.sha256.slice(0, 8)}`;
  const nodes = await client.nodes();
  t.equal(nodes.filter((node) => node.connected && node.release === release).length, 200);
  t.ok(
    (await upgrade()).every(({ result }) => result === 'newest'),
    'and are then left alone',
  );
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
