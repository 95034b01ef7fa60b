import type { Test } from 'tap';
import { CONTROL_PLANES, type LabCluster, PLANS } from './lab-cluster.ts';
import { measured, story } from './story.ts';

/** The cluster goes, and another of another kind comes to the same machines. */
export async function clusterAgain(t: Test, cluster: LabCluster): Promise<void> {
  const { fleet } = cluster;

  await story(t, 'deleted, the runtime stays', async (t) => {
    const { code, stderr, stdout } = await fleet.kk('delete', 'cluster', fleet.path(PLANS.ha), '--yes');
    t.equal(code, 0, stderr + stdout);
  });

  await story(t, 'the same machines become a cluster with etcd in its control planes', async (t) => {
    const began = performance.now();
    const { code, run } = await fleet.apply(PLANS.stacked);
    t.same({ code, failures: run.failures }, { code: 0, failures: [] });
    await cluster.check(t, CONTROL_PLANES);
    measured(t, `Ready and proved in ${((performance.now() - began) / 1000).toFixed(0)} s`);
    const etcd = await cluster.kubectl('-n', 'kube-system', 'get', 'pods', '-l', 'component=etcd', '-o', 'name');
    t.equal(etcd.stdout.trim().split('\n').length, CONTROL_PLANES.length, 'a member in each');
  });

  await story(t, 'again: nothing changes', async (t) => {
    const { code, run } = await fleet.apply(PLANS.stacked);
    t.same({ code, changes: run.changes.map(({ node, task }) => `${node} ${task}`) }, { code: 0, changes: [] });
  });
}
