/**
 * What goes wrong while a cluster is made, on machines of the lab: `npm run test:kubernetes:trouble`, with the same needs as
 * `npm run test:kubernetes`.
 */
import t from 'tap';
import { labAvailable } from '../../scripts/lab/api.ts';
import { forge } from '../../scripts/lab/kubernetes/forge.ts';
import { bareMachines } from '../../scripts/lab/kubernetes/machines.ts';
import { kubernetesMissing } from '../../scripts/lab/kubernetes/materials.ts';
import { serveMirror } from '../../scripts/lab/kubernetes/mirror.ts';
import { packageAgent } from '../../scripts/package-agent.ts';
import { clusterTroubleStories } from './cluster-trouble-stories.ts';
import { Fleet } from './fleet.ts';

const LAB = process.env['KK_LAB'] ?? 'e2kt';
const NODES = 2;
const available = labAvailable();
const why = available.ok ? kubernetesMissing() : available.why;
const LIMIT_MS = 3_600_000;

t.setTimeout(LIMIT_MS);
t.test('troubles on the way to a cluster', { skip: why ?? false, timeout: LIMIT_MS }, async (t) => {
  await packageAgent();
  const root = await forge({ place: { name: LAB }, onProgress: (line) => process.stderr.write(`  ${line}\n`) });
  const fleet = await Fleet.up(LAB, NODES);
  t.teardown(() => fleet.destroy());
  const { gateway } = await bareMachines({ name: LAB, count: NODES });
  await fleet.serve();
  await clusterTroubleStories(t, fleet, { root, gateway, mirror: () => serveMirror(root, gateway) });
});
