/**
 * A real Kubernetes on machines of the lab: `npm run test:kubernetes`, as root on Linux, with the archive of Kubernetes in
 * ../shared/kubernetes beside the project or where KK_LAB_KUBERNETES says. One story after the other, from nothing to nothing.
 */
import t from 'tap';
import { labAvailable } from '../../scripts/lab/api.ts';
import { forge } from '../../scripts/lab/kubernetes/forge.ts';
import { bareMachines } from '../../scripts/lab/kubernetes/machines.ts';
import { kubernetesMissing } from '../../scripts/lab/kubernetes/materials.ts';
import { serveMirror } from '../../scripts/lab/kubernetes/mirror.ts';
import { packageAgent } from '../../scripts/package-agent.ts';
import { clusterStories } from './cluster-stories.ts';
import { Fleet } from './fleet.ts';

const LAB = 'e2k';
const NODES = 5;
const available = labAvailable();
const why = available.ok ? kubernetesMissing() : available.why;
/** Well above the ten minutes it may take on a machine that has nothing else to do. */
const LIMIT_MS = 1_200_000;

t.setTimeout(LIMIT_MS);
t.test('a cluster in the lab', { skip: why ?? false, timeout: LIMIT_MS }, async (t) => {
  await packageAgent();
  const root = await forge({ place: { name: LAB }, onProgress: (line) => process.stderr.write(`  ${line}\n`) });
  const fleet = await Fleet.up(LAB, NODES);
  t.teardown(() => fleet.destroy());
  const { gateway } = await bareMachines({ name: LAB, count: NODES });
  const mirror = await serveMirror(root, gateway);
  t.teardown(() => mirror.close());
  await fleet.serve();
  await clusterStories(t, fleet, { root, gateway });
});
