import { join } from 'node:path';
import type { Test } from 'tap';
import { checkCluster } from '../../scripts/lab/kubernetes/checks.ts';
import { KUBECTL } from '../../scripts/lab/kubernetes/parts.ts';
import { planFor } from '../../scripts/lab/kubernetes/plan.ts';
import type { Fleet } from './fleet.ts';
import { measured, story } from './story.ts';

const NODES = ['node1', 'node2', 'node3', 'node4', 'node5'];
const PLAN = 'lab-ha.yaml';
/** What must be on a node before and after: units, network, mounts, users, settings, in an order of their own. */
export const LOOK = `systemctl list-unit-files --no-legend --state=enabled | awk '{ print $1 }' | sort
ip -o link | awk '{ print $2 }'
ip route
iptables-save 2>/dev/null | grep -E '^-A|^:(KUBE|CNI)'
ip6tables-save 2>/dev/null | grep -E '^-A|^:(KUBE|CNI)'
ls /usr/local/bin /opt /etc/cni /etc/kubernetes /etc/containerd /etc/etcd /var/lib/etcd /root/.kube 2>&1 | sort
awk '$2 ~ "kubelet|containerd|netns"' /proc/mounts
pgrep -l 'kubelet|containerd|haproxy|etcd|kube-' || true
cat /etc/hosts /etc/security/limits.d/* /etc/sysctl.d/* 2>/dev/null
sysctl -n net.core.somaxconn net.ipv4.ip_forward vm.swappiness`;

/** Five bare machines become a cluster, are left alone, and become bare machines again. */
export async function clusterStories(t: Test, fleet: Fleet, lab: { root: string; gateway: string }): Promise<void> {
  const net = lab.gateway.replace(/\.\d+$/, '');
  await planFor({ name: fleet.name, net }, fleet.path(PLAN));
  const looks = (): Promise<string[]> => Promise.all(NODES.map((node) => fleet.on(node, LOOK)));
  await fleet.kk('bootstrap', fleet.path(PLAN));
  const bare = await looks();

  await story(t, 'five bare machines become a cluster', async (t) => {
    const began = performance.now();
    const { code, run } = await fleet.apply(PLAN);
    t.match({ code, failures: run.failures }, { code: 0, failures: [] });
    const applied = performance.now();
    const kubeconfig = fleet.path('kubeconfig');
    t.equal((await fleet.kk('kubeconfig', '--cluster', 'lab-ha', '-o', kubeconfig)).code, 0);
    const findings = await checkCluster({
      ...{ lab: fleet.name, nodes: NODES, kubectl: join(lab.root, KUBECTL), kubeconfig },
      server: `https://${fleet.addressOf('node1')}:6443`,
    });
    for (const line of findings) t.pass(line);
    const seconds = (from: number, to: number): string => ((to - from) / 1000).toFixed(0);
    measured(t, `Ready and proved in ${seconds(began, performance.now())} s, apply ${seconds(began, applied)} s`);
    for (const { play, fromMs, untilMs } of run.times?.plays ?? [])
      measured(t, `${play}: ${seconds(fromMs, untilMs)} s, from ${seconds(0, fromMs)} s on`);
    measured(t, `beyond the critical path: ${((run.times?.overhead ?? 1) * 100).toFixed(1)} %`);
  });

  await story(t, 'again: nothing changes', async (t) => {
    const { code, run } = await fleet.apply(PLAN);
    t.match({ code, changes: run.changes.map(({ node, task }) => `${node} ${task}`) }, { code: 0, changes: [] });
  });

  await story(t, 'its certificates are known', async (t) => {
    const { code, stdout } = await fleet.kk('certs', 'check-expiration', fleet.path(PLAN), '-o', 'json');
    t.equal(code, 0);
    t.match(stdout, /apiserver\.crt[\s\S]*etcd/);
  });

  await story(t, 'deleted: the machines are as they were', async (t) => {
    const refused = await fleet.kk('delete', 'cluster', fleet.path(PLAN));
    t.match([refused.code, refused.stderr], [Number, /CONFIRM_NEEDED/]);
    const runs = JSON.parse((await fleet.kk('runs', '-o', 'json')).stdout) as { status: string }[];
    t.notOk(
      runs.some(({ status }) => status === 'running' || status === 'queued'),
      'and nothing is left waiting',
    );
    const { code, stderr } = await fleet.kk('delete', 'cluster', fleet.path(PLAN), '--yes', '--set', 'delete.cri=true');
    t.equal(code, 0, stderr);
    const after = await looks();
    for (const [index, node] of NODES.entries()) t.equal(after[index], bare[index], node);
  });
}
