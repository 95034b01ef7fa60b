import type { Test } from 'tap';
import { powerloss } from '../../scripts/lab/api.ts';
import { until } from '../../scripts/lab/commands.ts';
import type { Fleet } from './fleet.ts';
import { CONTROL_PLANES, type LabCluster, NODES, PLANS } from './lab-cluster.ts';
import { measured, story } from './story.ts';

/** Downloads, packages and images come before kubeadm; a machine that has just booted has its init to do again. */
const WAIT_MS = 900_000;
/** kubeadm is at work and has put something in place: its next try finds a half. */
const IN_INIT = 'test -e /etc/kubernetes/kubeadm-init.begun && test -e /etc/kubernetes/manifests/kube-apiserver.yaml';
const IN_JOIN = 'test -e /etc/kubernetes/kubeadm-join.begun && pgrep -x kubeadm';

/** One creation with a power loss in kubeadm init, a crash of the controller in the joins, and a cancel in them. */
export async function calamitousCreation(t: Test, cluster: LabCluster): Promise<void> {
  const { fleet } = cluster;

  await story(
    t,
    'power lost in init, the controller killed and the run cancelled in the joins: a cluster',
    async (t) => {
      const began = performance.now();
      const since = Date.now();
      const applying = fleet.applying(PLANS.ha);
      const left = applying.ended.then(
        ({ code, stderr }) => `ended with ${code}: ${stderr}`,
        () => 'killed',
      );
      await inTheMiddle(fleet, since, 'node1', IN_INIT);
      await powerloss(fleet.name, 'node1');
      await fleet.bootAgain('node1');

      // As when the machine of the controller crashes: who follows the run goes with it.
      await inTheMiddle(fleet, since, 'node2', IN_JOIN);
      applying.kill();
      await fleet.endController('SIGKILL');
      t.equal(await left, 'killed', 'after the power loss the run went on by itself');
      await fleet.serve();

      const early = await fleet.kk('apply', fleet.path(PLANS.ha), '--resume');
      t.match([early.code, early.stderr], [Number, /RUN_NOT_ENDED/], 'and so it does after the crash');
      await inTheMiddle(fleet, since, 'node3', IN_JOIN);
      t.equal((await fleet.kk('cancel', 'last')).code, 0);
      t.ok(
        await until(async () => (await statusOf(fleet, since)) === 'cancelled', 300_000, 1000),
        'until it is cancelled',
      );

      const { code, run } = await fleet.apply(PLANS.ha, '--resume');
      t.same({ code, failures: run.failures }, { code: 0, failures: [] });
      await cluster.check(t, NODES);
      measured(t, `with all of that Ready and proved in ${((performance.now() - began) / 1000).toFixed(0)} s`);
      for (const node of CONTROL_PLANES)
        t.equal(await fleet.on(node, 'ls /etc/kubernetes/*.begun 2>/dev/null || true'), '', `${node} is whole`);
    },
  );
}

/** Waits for a moment in the middle of the run that began after `since`. Throws when it ends before. */
async function inTheMiddle(fleet: Fleet, since: number, node: string, condition: string): Promise<void> {
  const come = await until(
    async () => {
      if ((await fleet.try(node, condition)).code === 0) return true;
      const status = await statusOf(fleet, since);
      if (status === undefined || status === 'running') return false;
      throw new Error(
        `the run is ${status} before ${node} was there: ${(await fleet.kk('runs', 'show', 'last')).stdout}`,
      );
    },
    WAIT_MS,
    1000,
  );
  if (!come) throw new Error(`${node} was never there: ${condition}`);
}

async function statusOf(fleet: Fleet, since: number): Promise<string | undefined> {
  const [last] = JSON.parse((await fleet.kk('runs', '-o', 'json')).stdout);
  return last === undefined || Date.parse(last.created) < since ? undefined : last.status;
}
