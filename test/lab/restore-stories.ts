import { rename } from 'node:fs/promises';
import type { Test } from 'tap';
import type { RunSummary } from '../../controller/views/types.ts';
import { until } from '../../scripts/lab/commands.ts';
import type { Fleet } from './fleet.ts';
import { story } from './story.ts';

const NODES = ['node1', 'node2', 'node3'];
const GO = '/run/kk-restore-go';
const LOG = '/var/lib/kk-restore';

/** A controller that was lost, and comes back as it once was. */
export async function restoreStories(t: Test, fleet: Fleet): Promise<void> {
  await story(t, 'a backup is restored in the middle of a run that it knows less of than the nodes', async (t) => {
    const runs = async (): Promise<RunSummary[]> => JSON.parse((await fleet.kk('runs', '-o', 'json')).stdout);
    const allConnected = async (): Promise<void> => {
      for (const node of NODES) t.ok(await until(() => fleet.connected(node), 30_000, 500), `${node} is connected`);
    };
    const shell = `echo begun >> ${LOG}; while ! test -e ${GO}; do sleep 0.2; done; echo ended >> ${LOG}`;
    const work = await fleet.commandPlan('work.yaml', ['node1', 'node2'], shell);
    t.equal((await fleet.kk('apply', fleet.path(work), '--detach')).code, 0);
    for (const node of ['node1', 'node2'])
      t.ok(await fleet.eventually(node, `grep begun ${LOG}`), `${node} is at work`);
    const [run] = await runs();

    const file = fleet.path('backup.tar.gz');
    const made = await fleet.kk('backup', file);
    t.equal(made.code, 0, made.stderr);
    t.match(made.stdout, /The backup of fleet \S+ is in .*Keep it safe/);

    // Nodes meet a later generation than the backup comes to by its own next start.
    for (const signal of ['SIGKILL', 'SIGTERM'] as const) {
      await fleet.endController(signal);
      await fleet.serve();
      await allConnected();
    }
    const later = await fleet.commandPlan('later.yaml', ['node3'], `echo later >> ${LOG}`);
    t.equal((await fleet.apply(later)).code, 0);
    await fleet.endController('SIGKILL');
    const full = await fleet.kk('restore', file);
    t.equal(full.code, 1, 'not over what is there');
    t.match(full.stderr, /do: ./);
    await rename(fleet.stateFolder, `${fleet.stateFolder}.lost`);
    const restored = await fleet.kk('restore', file);
    t.equal(restored.code, 0, restored.stderr);
    t.match(restored.stdout, /Restored fleet \S+ as of .*\. Start it: kk-controller --state \S+ serve/);

    await fleet.serve();
    await allConnected();
    t.ok(await until(async () => /adopt/.test((await fleet.kk('runs')).stdout), 20_000, 500), 'runs are held');
    t.same((await runs()).find(({ id }) => id === run?.id)?.status, 'running');
    const adopted = await fleet.kk('runs', 'adopt');
    t.equal(adopted.code, 0, adopted.stderr);
    t.match(adopted.stdout, `Adopted: ${run?.id}.`);
    for (const node of ['node1', 'node2']) await fleet.on(node, `touch ${GO}`);
    const isDone = async (): Promise<boolean> => (await runs()).find(({ id }) => id === run?.id)?.status === 'done';
    t.ok(await until(isDone, 60_000, 500), 'the run goes on to its end');
    for (const node of ['node1', 'node2'])
      t.equal(await fleet.on(node, `cat ${LOG}`), 'begun\nended\n', `once on ${node}`);

    const again = await fleet.apply(later);
    t.equal(again.code, 0, again.stderr);
    t.equal(await fleet.on('node3', `cat ${LOG}`), 'later\nlater\n', 'and new ones are done');
  });
}
