import type { Test } from 'tap';
import { cut, join, kill } from '../../scripts/lab/api.ts';
import { until } from '../../scripts/lab/commands.ts';
import type { Fleet } from './fleet.ts';
import { changes, logins } from './line-stories.ts';
import { story } from './story.ts';

/** How long the commands take under which things die. */
const SECONDS = Number(process.env['KK_LAB_SECONDS'] ?? 20);
const NODES = ['node1', 'node2', 'node3'];

/** What dies, and that the work does not. */
export async function survivalStories(t: Test, fleet: Fleet): Promise<void> {
  await story(t, 'the controller and an agent are killed in the middle of a command', async (t) => {
    const log = '/var/lib/kk-killed.log';
    const plan = await fleet.longPlan('killed.yaml', { hosts: NODES, seconds: SECONDS, log });
    const applying = fleet.apply(plan);
    for (const node of NODES) t.ok(await fleet.eventually(node, `grep begun ${log}`), `${node} has begun`);
    await fleet.on('node1', 'kill -9 $(systemctl show -p MainPID --value kk-agent)');
    await fleet.endController('SIGKILL');
    t.notMatch(await fleet.on('node1', `cat ${log}`), 'ended', 'killed in the middle');
    // Soon: the apply waits a little for whoever keeps the controller running, then starts one of its own.
    await fleet.serve();
    const { code, run, stderr } = await applying;
    t.equal(code, 0, stderr);
    t.match(stderr, 'The controller is gone');
    t.match(run, { status: 'done', failures: [] });
    for (const node of NODES) t.equal(await fleet.on(node, `cat ${log}`), 'begun\nended\n', `it ran once on ${node}`);
    t.equal(
      (await fleet.on('node1', 'systemctl show -p NRestarts --value kk-agent')).trim(),
      '1',
      'systemd restarted it',
    );
  });

  await story(t, 'the cable is out while a command ends', async (t) => {
    const log = '/var/lib/kk-cut.log';
    const plan = await fleet.longPlan('cut.yaml', { hosts: ['node1', 'node2'], seconds: SECONDS, log });
    const applying = fleet.apply(plan);
    t.ok(await fleet.eventually('node2', `grep begun ${log}`));
    await cut(fleet.name, 'node2');
    t.ok(await fleet.eventually('node2', `grep ended ${log}`, (SECONDS + 30) * 1000), 'it ended all the same');
    t.ok(await until(async () => !(await fleet.connected('node2')), 30_000, 500), 'the controller misses the node');
    await join(fleet.name, 'node2');
    const { code, run } = await applying;
    t.equal(code, 0);
    t.match(
      run.nodes.find(({ node }) => node === 'node2'),
      { state: 'done', ok: 1, changed: 1 },
    );
    t.equal(await fleet.on('node2', `cat ${log}`), 'begun\nended\n', 'it ran once');
  });

  await story(t, 'a machine dies in the middle of a command', async (t) => {
    const log = '/var/lib/kk-died.log';
    const plan = await fleet.longPlan('died.yaml', { hosts: NODES, seconds: SECONDS / 2, log });
    const applying = fleet.apply(plan);
    for (const node of NODES) t.ok(await fleet.eventually(node, `grep begun ${log}`), `${node} has begun`);
    await fleet.on('node3', 'sync');
    await kill(fleet.name, 'node3');
    await fleet.bootAgain('node3');
    const { code, run } = await applying;
    t.equal(code, 3, 'some nodes failed');
    t.match(run.failures, [{ node: 'node3', task: /work$/, outcome: 'interrupted', error: { remedy: /.{7}/ } }]);
    t.equal(run.failures.length, 1);
    for (const node of ['node1', 'node2']) t.equal(await fleet.on(node, `cat ${log}`), 'begun\nended\n', node);
    t.equal(await fleet.on('node3', `cat ${log}`), 'begun\n', 'a command that cannot be repeated is not repeated');
  });

  await story(t, 'Ctrl-C stops the commands at work', async (t) => {
    const log = '/var/lib/kk-cancelled.log';
    const plan = await fleet.longPlan('cancelled.yaml', { hosts: NODES, seconds: 600, log });
    const applying = fleet.applying(plan);
    for (const node of NODES) t.ok(await fleet.eventually(node, `grep begun ${log}`), `${node} has begun`);
    applying.interrupt();
    const { code, run } = await applying.ended;
    t.equal(code, 4, 'cancelled');
    t.equal(run.status, 'cancelled');
    for (const node of NODES)
      t.not((await fleet.try(node, 'pgrep -x sleep -a | grep 600')).code, 0, `nothing is left on ${node}`);
  });

  await story(t, 'with no controller, apply starts one', async (t) => {
    await fleet.endController('SIGTERM');
    const { code, run, stderr } = await fleet.apply('plan.yaml', '--set', 'line.greeting=good morning');
    t.equal(code, 0, stderr);
    t.match(stderr, 'Started a controller');
    t.equal(changes(run), 0);
    await fleet.endStartedController();
    await fleet.serve();
  });

  await story(t, 'afterwards the fleet is whole, and no node was logged in to again', async (t) => {
    const { code, run } = await fleet.apply('plan.yaml', '--set', 'line.greeting=good morning');
    t.equal(code, 0);
    t.equal(changes(run), 0, 'what was done is still there, and the services came up with the machine');
    t.same(await Promise.all(NODES.map((node) => logins(fleet, node))), [1, 1, 0]);
  });
}
