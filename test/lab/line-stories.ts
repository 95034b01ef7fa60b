import type { Test } from 'tap';
import type { RunView } from '../../controller/views/types.ts';
import type { Fleet } from './fleet.ts';
import { measured, story } from './story.ts';

const NODES = ['node1', 'node2', 'node3'];

export const changes = (run: RunView): number => run.nodes.reduce((sum, { changed }) => sum + changed, 0);

/** Joins that sshd let in since the node was made. */
export async function logins(fleet: Fleet, node: string): Promise<number> {
  const journal = await fleet.on(node, 'sync; journalctl --sync; journalctl -u ssh -o cat --no-pager');
  return journal.split('\n').filter((line) => line.startsWith('Accepted ')).length;
}

/** A plan from nothing, again, and after a change by hand. */
export async function lineStories(t: Test, fleet: Fleet): Promise<void> {
  const known = { known_hosts_file: fleet.path('known_hosts') };
  const password = await fleet.file('ops-password', 'ops\n');
  await fleet.inventory('inventory.yaml', {
    node1: { address: fleet.addressOf('node1'), ssh: { ...known, private_key_file: fleet.sshKey } },
    node2: { address: fleet.addressOf('node2'), ssh: { ...known, user: 'ops', password_file: password } },
    node3: { address: fleet.addressOf('node3'), ssh: false },
  });

  await story(t, 'a node joins by the line, and is named by its token', async (t) => {
    const joined = await fleet.try('node3', await fleet.joinLine('--name', 'node3'));
    t.equal(joined.code, 0, joined.stderr);
    t.match(joined.stdout, /on node node3: joined/);
    t.ok(await fleet.eventually('node3', 'systemctl is-active kk-agent'), 'its agent is a service');
  });

  await story(t, 'a plan from nothing: two nodes by SSH, one that is there', async (t) => {
    const { code, run, stderr } = await fleet.apply('plan.yaml');
    t.equal(code, 0, stderr);
    t.match(run, { status: 'done', failures: [] });
    measured(t, `from nothing: ${run.durationMs} ms`);
    for (const node of NODES) {
      t.match(
        run.nodes.find((view) => view.node === node),
        { state: 'done', changed: 5, ok: 5, failed: 0, blocked: 0 },
        node,
      );
      t.equal(await fleet.on(node, 'stat -c "%a %n" /etc/kk-line/conf.d'), '750 /etc/kk-line/conf.d\n');
      t.equal(await fleet.on(node, 'cat /etc/kk-line/settings'), 'greeting=hello\n');
      const cpus = (await fleet.on(node, 'nproc')).trim();
      t.equal(
        await fleet.on(node, 'cat /etc/kk-line/facts'),
        `${node} ${fleet.addressOf(node)} debian ${process.arch === 'arm64' ? 'arm64' : 'amd64'} ${cpus}\n${NODES.join('\n')}\n`,
        'a template over its own facts and the inventory',
      );
      t.equal(await fleet.on(node, 'systemctl is-active kk-line; systemctl is-enabled kk-line'), 'active\nenabled\n');
      t.equal(await fleet.on(node, 'cat /etc/kk-line/data/made'), 'made\n', 'done once');
    }
  });

  await story(t, 'applied again, nothing changes', async (t) => {
    const pids = await Promise.all(NODES.map((node) => fleet.on(node, 'systemctl show -p MainPID kk-line')));
    const { code, run } = await fleet.apply('plan.yaml');
    t.equal(code, 0);
    t.equal(changes(run), 0, '0 changed');
    t.same(run.changes, []);
    measured(t, `again: ${run.durationMs} ms`);
    const after = await Promise.all(NODES.map((node) => fleet.on(node, 'systemctl show -p MainPID kk-line')));
    t.same(after, pids, 'no service was restarted');
  });

  await story(t, 'a file changed by hand: exactly that is mended, and shown', async (t) => {
    await fleet.on('node2', 'echo by hand >> /etc/kk-line/facts');
    const { code, run } = await fleet.apply('plan.yaml');
    t.equal(code, 0);
    t.equal(changes(run), 1, '1 changed');
    t.match(run.changes, [{ node: 'node2', diffs: [{ path: '/etc/kk-line/facts', unified: /^-by hand$/m }] }]);
    t.notMatch(await fleet.on('node2', 'cat /etc/kk-line/facts'), 'by hand');
    measured(t, `one change: ${run.durationMs} ms`);
  });

  await story(t, 'a new value restarts the service that reads it, and only that', async (t) => {
    const before = await fleet.on('node1', 'systemctl show -p MainPID --value kk-line');
    const { run } = await fleet.apply('plan.yaml', '--set', 'line.greeting=good morning');
    t.match(run.status, 'done');
    t.equal(changes(run), 6, 'the file and the service, on three nodes');
    t.not(await fleet.on('node1', 'systemctl show -p MainPID --value kk-line'), before, 'restarted');
  });

  await story(t, 'one SSH login for each node so far, none where the line was run', async (t) => {
    t.same(await Promise.all(NODES.map((node) => logins(fleet, node))), [1, 1, 0]);
  });
}
