/**
 * What a cluster meets in its life, in the lab: `npm run test:kubernetes:calamity`, as root on Linux, with the archive of
 * Kubernetes (see kubernetes.test.ts). Too long for `.ci/run`.
 */
import t from 'tap';
import { labAvailable } from '../../scripts/lab/api.ts';
import { forge } from '../../scripts/lab/kubernetes/forge.ts';
import { bareMachines } from '../../scripts/lab/kubernetes/machines.ts';
import { kubernetesMissing } from '../../scripts/lab/kubernetes/materials.ts';
import { serveMirror } from '../../scripts/lab/kubernetes/mirror.ts';
import { packageAgent } from '../../scripts/package-agent.ts';
import { clusterAgain } from './cluster-again-stories.ts';
import { calamitousCreation } from './cluster-calamity-stories.ts';
import { LOOK } from './cluster-stories.ts';
import { renewalByTimers, restoreOfEtcd } from './cluster-upkeep-stories.ts';
import { Fleet } from './fleet.ts';
import { LabCluster, NODES, PLANS } from './lab-cluster.ts';
import { story } from './story.ts';

const LAB = 'e2c';
const available = labAvailable();
const why = available.ok ? kubernetesMissing() : available.why;
/** Two creations, a restore and two deletions, on a machine that may have other things to do. */
const LIMIT_MS = 3_600_000;

t.setTimeout(LIMIT_MS);
t.test('the life of a cluster in the lab', { skip: why ?? false, timeout: LIMIT_MS }, async (t) => {
  await packageAgent();
  const root = await forge({ place: { name: LAB }, onProgress: (line) => process.stderr.write(`  ${line}\n`) });
  const fleet = await Fleet.up(LAB, NODES.length);
  t.teardown(() => fleet.destroy());
  const { gateway } = await bareMachines({ name: LAB, count: NODES.length });
  const mirror = await serveMirror(root, gateway);
  t.teardown(() => mirror.close());
  await fleet.serve();
  const cluster = await LabCluster.of(fleet, { root, gateway });
  await fleet.kk('bootstrap', fleet.path(PLANS.ha));
  const looks = (): Promise<string[]> => Promise.all(NODES.map((node) => fleet.on(node, LOOK)));
  const bare = await looks();

  await calamitousCreation(t, cluster);
  await renewalByTimers(t, cluster);
  await restoreOfEtcd(t, cluster);
  await clusterAgain(t, cluster);

  await story(t, 'deleted: the machines are as they were', async (t) => {
    for (const plan of [PLANS.stacked, PLANS.ha]) {
      const argv = ['delete', 'cluster', fleet.path(plan), '--yes', '--set', 'delete.cri=true'];
      const { code, stderr } = await fleet.kk(...argv);
      t.equal(code, 0, stderr);
    }
    const after = await looks();
    for (const [index, node] of NODES.entries()) t.equal(after[index], bare[index], node);
  });
});
