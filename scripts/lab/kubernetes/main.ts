/**
 * `npm run lab:kubernetes`: a highly available Kubernetes on five machines of this one, made by nothing but
 * `kk-controller apply examples/lab-ha.yaml` and looked at from outside. See README.md in this folder.
 */
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { errorText } from '../../../shared/error-text.ts';
import { reportOf } from '../../../shared/errors.ts';
import { answerOf, kkController, say, startController, stopController } from '../../demo/stage.ts';
import { packageAgent } from '../../package-agent.ts';
import { labDestroy } from '../api.ts';
import { checkCluster } from './checks.ts';
import { forge } from './forge.ts';
import { bareMachines } from './machines.ts';
import { serveMirror } from './mirror.ts';
import { KUBECTL } from './parts.ts';
import { LAB_NAME, LAB_NET, PLAN, planFor } from './plan.ts';

const AGENT_PORT = 9443;
const HELP = `npm run lab:kubernetes [-- VERB OPTIONS]

  up      (default) machines, mirror, cluster, checks; everything stays up but the mirror
  mirror  serve the mirror until Ctrl-C, for the cluster that is up or for machines of your own
  down    take cluster, controller and machines away

  --name NAME           of the lab (${LAB_NAME})
  --net PREFIX          of its network (${LAB_NET})
  --kubernetes FOLDER   where the archive with Kubernetes is ($KK_LAB_KUBERNETES, or ../shared/kubernetes beside the project)
`;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    name: { type: 'string', default: LAB_NAME },
    net: { type: 'string', default: LAB_NET },
    kubernetes: { type: 'string' },
    help: { type: 'boolean', short: 'h', default: false },
  },
});
const place = { name: values.name };
const folder = `/var/lib/kk-${values.name}`;
const state = join(folder, 'controller');
const gateway = `${values.net}.1`;

function mirrorRoot(): Promise<string> {
  const { kubernetes } = values;
  return forge({ place, ...(kubernetes === undefined ? {} : { kubernetes }), onProgress: (line) => say(`  ${line}`) });
}

async function down(): Promise<void> {
  await stopController(state);
  await labDestroy(place);
  await rm(folder, { recursive: true, force: true });
}

async function up(): Promise<number> {
  await down();
  await mkdir(folder, { recursive: true, mode: 0o700 });
  say('Making the mirror, the machines and the agent.');
  const root = await mirrorRoot();
  const lab = await bareMachines({ ...place, count: 5, net: values.net });
  await packageAgent();
  const mirror = await serveMirror(root, gateway);
  await startController(state, `${gateway}:${AGENT_PORT}`);
  const own = values.name === LAB_NAME && values.net === LAB_NET;
  const plan = own ? PLAN : await planFor({ name: values.name, net: values.net }, join(folder, 'lab-ha.yaml'));
  say('Joining the machines.');
  await answerOf(state, ['bootstrap', plan]);

  try {
    say(`kk-controller apply ${plan}`);
    const began = performance.now();
    const code = await kkController(state, ['apply', plan]);
    if (code !== 0) return code;
    const applied = performance.now();
    const kubeconfig = join(folder, 'kubeconfig');
    await answerOf(state, ['kubeconfig', '--cluster', 'lab-ha', '-o', kubeconfig]);
    const findings = await checkCluster({
      ...{ lab: place, nodes: lab.nodes.map(({ name }) => name), kubectl: join(root, KUBECTL), kubeconfig },
      server: `https://${lab.nodes[0]?.address}:6443`,
    });
    for (const line of findings) say(line);
    const seconds = (ms: number): string => `${(ms / 1000).toFixed(0)} s`;
    const [all, apply] = [seconds(performance.now() - began), seconds(applied - began)];
    say(`Kubernetes on ${lab.nodes.length} nodes: Ready and proved in ${all}, of which apply took ${apply}.`);
    process.stdout.write(next(plan, kubeconfig, lab.nodes[0]?.address ?? ''));
    return 0;
  } finally {
    await mirror.close();
  }
}

function next(plan: string, kubeconfig: string, address: string): string {
  return `
To try next:

  export KK_STATE=${state}
  controller/bin/kk-controller apply ${plan}      # again: nothing changes
  kubectl --kubeconfig ${kubeconfig} --server https://${address}:6443 get pods -A -o wide
  npm run lab:kubernetes -- mirror                # images for pods of your own
  npm run lab:kubernetes -- down

`;
}

async function serve(): Promise<number> {
  const mirror = await serveMirror(await mirrorRoot(), gateway);
  say(`The mirror is ${mirror.url}. Ctrl-C ends it.`);
  await new Promise((resolve) => process.once('SIGINT', resolve));
  await mirror.close();
  return 0;
}

async function main(): Promise<number> {
  const [verb = 'up'] = positionals;
  if (values.help) process.stdout.write(HELP);
  else if (verb === 'up') return up();
  else if (verb === 'mirror') return serve();
  else if (verb === 'down') await down();
  else {
    process.stderr.write(HELP);
    return 1;
  }
  return 0;
}

try {
  process.exitCode = await main();
} catch (thrown) {
  process.stderr.write(errorText(reportOf(thrown)));
  process.exitCode = 1;
}
