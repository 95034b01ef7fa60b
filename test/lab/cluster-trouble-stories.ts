import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Test } from 'tap';
import { parse, stringify } from 'yaml';
import { kill } from '../../scripts/lab/api.ts';
import { checkCluster } from '../../scripts/lab/kubernetes/checks.ts';
import type { Mirror } from '../../scripts/lab/kubernetes/mirror.ts';
import { KUBECTL } from '../../scripts/lab/kubernetes/parts.ts';
import { planFor } from '../../scripts/lab/kubernetes/plan.ts';
import type { Fleet } from './fleet.ts';
import { story } from './story.ts';

const NODES = ['node1', 'node2'];
const PLAN = 'trouble.yaml';
/** Until a machine is where its plug is pulled. */
const MOMENT_MS = 300_000;

interface TroubleLab {
  /** Of the mirror's files. */
  root: string;
  gateway: string;
  mirror(): Promise<Mirror>;
}

/**
 * One create of a cluster of two machines, with a trouble in each phase: it ends in an error that says what is wrong and what to do;
 * then the cause is gone, and `apply --resume` goes on until the next one.
 */
export async function clusterTroubleStories(t: Test, fleet: Fleet, lab: TroubleLab): Promise<void> {
  let mirror = await lab.mirror();
  t.teardown(() => mirror.close());
  const plan = await planWriter(fleet, lab.gateway);
  const apply = async (...options: string[]): Promise<Told> =>
    told(await fleet.kk('apply', fleet.path(PLAN), ...options));
  const resume = (): Promise<Told> => apply('--resume');
  await plan({});
  await fleet.kk('bootstrap', fleet.path(PLAN));

  await story(t, 'a version and an architecture that do not exist', async (t) => {
    await plan({ kubernetes: { version: 'v1.20.99' } });
    says(t, await apply(), 1, [
      /COMPONENT_NOT_FOUND\n.*There is no kubelet v1\.20\.99 for amd64 at http/,
      /do: Correct the version \(kubernetes\.version\)/,
    ]);
    await plan({ download: { arch: ['riscv64'] } });
    says(t, await apply(), 1, [
      /PLAN_COMPONENT .*trouble\.yaml:\d+:\d+\n.*There is no .*kubelet.* for the architecture "riscv64"/,
      /do: Use one of: amd64, arm64/,
    ]);
  });

  await story(t, 'the mirror is down', async (t) => {
    await plan({});
    await mirror.close();
    says(t, await apply(), 3, [
      /node1: download\/download\/kubelet failed/,
      /kubelet v1\.20\.2 for amd64 could not be fetched from [\d.]+:8080/,
      /saw: .*ECONNREFUSED/,
      /do: .*set download\.mirror; then go on with `apply --resume`/,
      /node1, node2|node2, node1: os\/os\/packages failed/,
    ]);
    mirror = await lab.mirror();
  });

  await story(t, 'a wrong checksum in the plan', async (t) => {
    await plan({ download: { overrides: { kubectl: { sha256: '0'.repeat(64) } } } });
    says(t, await resume(), 3, [
      /download\/download\/kubectl failed/,
      /COMPONENT_WRONG_SHA256/,
      /saw: .*\/kubectl gave \d+ bytes with sha256 [\da-f]{64}/,
      /do: .*correct download\.overrides\.kubectl\.sha256/,
    ]);
  });

  await story(t, 'the port of etcd is taken', async (t) => {
    await plan({});
    await squat(fleet, 'node1', 2379);
    says(t, await resume(), 3, [
      /node1: etcd\/etcd\/form-joined failed/,
      /COMMAND_FAILED [\s\S]*port 2379 of this node, which etcd needs, is taken\./,
      /journalctl -u etcd[\s\S]*address already in use/,
      /systemd-socket/,
      /do: .*state another etcd\.port.*`apply --resume`/,
    ]);
    await leave(fleet, 'node1');
  });

  await story(t, 'a setting that etcd does not start with, in the plan', async (t) => {
    await plan({ etcd: { extra_env: { ETCD_MAX_SNAPSHOTS: 'many' } } });
    says(t, await resume(), 3, [
      /node1: etcd\/etcd\/change-health failed/,
      /etcd refuses a setting \(invalid value "many" for ETCD_MAX_SNAPSHOTS/,
      /do: Correct it in the plan.*`apply --resume`/,
    ]);
  });

  await story(t, 'the port of the API server is taken', async (t) => {
    await plan({});
    await squat(fleet, 'node1', 6443);
    says(t, await resume(), 3, [
      /node1: init\/kubernetes\/init\/init failed/,
      /port 6443 of this node is taken/,
      /saw: .*\[ERROR Port-6443\][\s\S]*systemd-socket/,
      /do: See who has it.*`apply --resume`/,
    ]);
    await leave(fleet, 'node1');
  });

  await story(t, 'an image is missing in the mirror', async (t) => {
    // What was pulled ahead would be there.
    await fleet.on('node1', 'ctr -n k8s.io images rm k8s.gcr.io/kube-scheduler:v1.20.2');
    mirror.hidden.add('/v2/kube-scheduler/');
    says(t, await resume(), 3, [
      /node1: init\/kubernetes\/init\/init failed/,
      /k8s\.gcr\.io\/kube-scheduler:v1\.20\.2/,
    ]);
    mirror.hidden.clear();
  });

  await story(t, 'the kubelet never gets healthy, for a setting in the plan', async (t) => {
    await plan({
      kubernetes: { kubelet: { extra_config: { featureGates: { NoSuchGate: true } } }, timeouts: { init: '60s' } },
    });
    says(t, await resume(), 3, [
      /node1: init\/kubernetes\/init\/init failed/,
      /does not know the feature gate NoSuchGate/,
      /the kubelet \(journalctl -u kubelet\):[\s\S]*unrecognized feature gate: NoSuchGate/,
      /do: Remove it from kubernetes\.feature_gates.*`apply --resume`/,
    ]);
  });

  await story(
    t,
    'the first control plane reboots in the middle of its init; the port of a kubelet is taken',
    async (t) => {
      await plan({});
      await squat(fleet, 'node2', 10250);
      const applying = resume();
      t.ok(await fleet.eventually('node1', 'pgrep -x kube-apiserver', MOMENT_MS));
      await kill(fleet.name, 'node1');
      await fleet.bootAgain('node1');
      says(t, await applying, 3, [
        /node2: join\/kubernetes\/join\/join-worker failed/,
        /Port 10250 is in use|Port-10250/,
        /systemd-socket/,
      ]);
      await outside(t, fleet);
      await leave(fleet, 'node2');
    },
  );

  await story(t, 'the token to join with is gone', async (t) => {
    await inBackground(
      fleet,
      'node1',
      'thief',
      `while sleep 0.1; do
      /usr/local/bin/kubectl --kubeconfig /etc/kubernetes/admin.conf --namespace kube-system delete secret \
        --field-selector type=bootstrap.kubernetes.io/token; done`,
    );
    says(t, await resume(), 3, [
      /node2: join\/kubernetes\/join\/join-worker failed/,
      /does not know the token/,
      /do: .*apply --resume/,
    ]);
    await outside(t, fleet);
    await fleet.on('node1', 'systemctl stop thief');
  });

  await story(t, 'a worker reboots in the middle of its join, and there is a cluster', async (t) => {
    const applying = resume();
    t.ok(await fleet.eventually('node2', 'test -e /etc/kubernetes/bootstrap-kubelet.conf', MOMENT_MS));
    await kill(fleet.name, 'node2');
    await fleet.bootAgain('node2');
    says(t, await applying, 0, [/^Done: 2 nodes/m]);
    const kubeconfig = fleet.path('kubeconfig');
    t.equal((await fleet.kk('kubeconfig', '--cluster', 'lab-ha', '-o', kubeconfig)).code, 0);
    const findings = await checkCluster({
      ...{ lab: fleet.name, nodes: NODES, kubectl: join(lab.root, KUBECTL), kubeconfig },
      server: `https://${fleet.addressOf('node1')}:6443`,
    });
    for (const line of findings) t.pass(line);
  });
}

/** How a command ended, and what a person reads of it. */
interface Told {
  code: number;
  text: string;
}

/** Of a run what its report says of failures, else all. */
function told({ code, stdout, stderr }: { code: number; stdout: string; stderr: string }): Told {
  const [, failures] = /^Failures\n([\s\S]*?)\n\nNodes\n/m.exec(stdout) ?? [];
  return { code, text: failures ?? stdout.slice(-2000) + stderr };
}

function says(t: Test, { code, text }: Told, wanted: number, patterns: readonly RegExp[]): void {
  process.stderr.write(`${text.trimEnd().replace(/^/gm, '      ')}\n`);
  t.equal(code, wanted, text);
  for (const pattern of patterns) t.match(text, pattern);
}

/** Writes examples/lab-ha.yaml for a control plane with etcd and a worker, with settings merged over its own. */
async function planWriter(fleet: Fleet, gateway: string): Promise<(settings: Settings) => Promise<string>> {
  const net = gateway.replace(/\.\d+$/, '');
  const example = await planFor({ name: fleet.name, net }, fleet.path(PLAN));
  const document = parse(await readFile(example, 'utf8'));
  document.spec.inventory.hosts = { 'node[1:2]': { address: `${net}.[11:12]` } };
  document.spec.inventory.groups = { etcd: ['node1'], control_plane: ['node1'], worker: ['node2'] };
  // Whatever else this machine does: its disk is not what this is about.
  const config = merged(document.spec.config, { precheck: { etcd_disk: { fail_from_ms: 10_000 } } });
  return (settings) => {
    document.spec.config = merged(config, settings);
    return fleet.file(PLAN, stringify(document));
  };
}

type Settings = { [name: string]: unknown };

function merged(below: Settings, above: Settings): Settings {
  const isMap = (value: unknown): value is Settings =>
    typeof value === 'object' && value !== null && !Array.isArray(value);
  const over = (name: string, value: unknown): unknown => {
    const own = below[name];
    return isMap(own) && isMap(value) ? merged(own, value) : value;
  };
  return { ...below, ...Object.fromEntries(Object.entries(above).map(([name, value]) => [name, over(name, value)])) };
}

/** A program that has nothing to do with kk takes a port of a node. */
async function squat(fleet: Fleet, node: string, port: number): Promise<void> {
  await inBackground(fleet, node, 'squatter', `exec systemd-socket-activate --accept -l 0.0.0.0:${port} /bin/cat`);
  await fleet.eventually(node, `ss -Hltn | grep -q ':${port} '`);
}

async function leave(fleet: Fleet, node: string): Promise<void> {
  await fleet.on(node, 'systemctl stop squatter');
}

async function inBackground(fleet: Fleet, node: string, unit: string, shell: string): Promise<void> {
  await fleet.on(node, `systemd-run --quiet --collect --unit ${unit} sh -c '${shell}'`);
}

/** The worker that could not join is no member, and nothing of Kubernetes is at work on it. */
async function outside(t: Test, fleet: Fleet): Promise<void> {
  const nodes = await fleet.on(
    'node1',
    '/usr/local/bin/kubectl --kubeconfig /etc/kubernetes/admin.conf get nodes --output name',
  );
  t.equal(nodes.trim(), 'node/node1');
  t.not((await fleet.try('node2', 'systemctl is-active kubelet')).code, 0, 'nothing is left half-joined');
}
