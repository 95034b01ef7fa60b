import { basename } from 'node:path';
import type { Test } from 'tap';
import { CONTROL_PLANES, type LabCluster, NODES, PLANS } from './lab-cluster.ts';
import { measured, story } from './story.ts';

const UNITS = '/etc/systemd/system';
/** The apiserver's certificate is one with 200 days left, the same otherwise: the clock is that of the whole machine. */
const AGED = `set -e
cd /etc/kubernetes/pki
openssl x509 -x509toreq -copy_extensions copyall -in apiserver.crt -key apiserver.key -out /tmp/aged.csr
openssl x509 -req -copy_extensions copyall -in /tmp/aged.csr -CA ca.crt -CAkey ca.key -set_serial 0x$(openssl rand -hex 8) -days 200 -out aged
mv aged apiserver.crt`;
/** An hour is too long for a test, and systemd's minute of leeway lets no two timers begin together. */
const HASTE = `mkdir -p ${UNITS}/kk-certs-renew.service.d ${UNITS}/kk-certs-renew.timer.d &&
printf '[Service]\\nRestartSec=3s\\n' >${UNITS}/kk-certs-renew.service.d/lab.conf &&
printf '[Timer]\\nAccuracySec=1us\\n' >${UNITS}/kk-certs-renew.timer.d/lab.conf && systemctl daemon-reload`;
const NO_HASTE = `rm -r ${UNITS}/kk-certs-renew.service.d ${UNITS}/kk-certs-renew.timer.d && systemctl daemon-reload`;
/** Every control plane looks at the same moments. */
const OFTEN = ['renew_before=300d', 'schedule=*-*-* *:*:00/20', 'jitter=0s'].flatMap((setting) => [
  '--set',
  `kubernetes.certs.${setting}`,
]);
const RENEWED = 'renewed: the certificates of kubeadm are new';

/** Certificates are about to end on all control planes of a cluster that works, and nobody is there. */
export async function renewalByTimers(t: Test, cluster: LabCluster): Promise<void> {
  const { fleet } = cluster;
  const plan = fleet.path(PLANS.ha);

  await story(t, 'timers renew certificates by themselves, one control plane after the other', async (t) => {
    for (const node of CONTROL_PLANES) await fleet.on(node, `${AGED}\n${HASTE}`);
    const check = (): Promise<{ code: number; stdout: string }> =>
      fleet.kk('certs', 'check-expiration', plan, '--warn', '300d');
    t.match(await check(), { code: 3, stdout: /node3 .*apiserver/ }, 'they end in less than 300 days');

    const since = (await fleet.on('node1', 'date +%s')).trim();
    const journal = `journalctl --unit kk-certs-renew --output short-unix --no-pager --since @${since}`;
    const applied = await fleet.apply(PLANS.ha, ...OFTEN);
    const changes = new Set(applied.run.changes.map(({ task }) => task.split('/').at(-1)));
    t.match({ code: applied.code, changes: [...changes].sort() }, { code: 0, changes: ['service', 'timer'] });
    for (const node of CONTROL_PLANES)
      t.ok(await fleet.eventually(node, `${journal} | grep -q '${RENEWED}'`, 600_000), `${node} has renewed its own`);

    // From the moment the first new certificate is written until the node says that it is done.
    const times = await Promise.all(
      CONTROL_PLANES.map(async (node) => {
        const from = Number(await fleet.on(node, 'stat -c %.3Y /etc/kubernetes/pki/apiserver.crt'));
        const until = Number(await fleet.on(node, `${journal} | grep -m 1 '${RENEWED}' | cut -d' ' -f1`));
        return { node, from, until };
      }),
    );
    times.sort((one, other) => one.from - other.from);
    for (const [index, { node, from, until }] of times.entries()) {
      measured(t, `${node}: from ${(from - Number(since)).toFixed(0)} s to ${(until - Number(since)).toFixed(0)} s`);
      t.ok(from > (times[index - 1]?.until ?? 0), `${node} began when nobody was at it`);
    }
    const said = (await Promise.all(CONTROL_PLANES.map((node) => fleet.on(node, journal)))).join('');
    t.match(said, /postponed: node\d is renewing its certificates/, 'the others wanted to, and waited');

    t.match(await check(), { code: 0 });
    await cluster.check(t, NODES);
    const lease = await cluster.kubectl(
      '-n',
      'kube-system',
      'get',
      'lease',
      'kk-certs-renew',
      '-o',
      'jsonpath={.spec}',
    );
    t.equal(lease.stdout, '{}', 'nobody holds the Lease');
    for (const node of CONTROL_PLANES) await fleet.on(node, NO_HASTE);
    t.equal((await fleet.apply(PLANS.ha)).code, 0, 'and look once a day again');
  });
}

/** Something has gone wrong in the cluster, and it goes back to what it was. */
export async function restoreOfEtcd(t: Test, cluster: LabCluster): Promise<void> {
  const { fleet } = cluster;
  const plan = fleet.path(PLANS.ha);

  await story(t, 'etcd goes back to a snapshot under a cluster that runs', async (t) => {
    const create = async (name: string): Promise<void> => {
      const { code, stderr } = await cluster.kubectl('create', 'configmap', name);
      t.equal(code, 0, stderr);
    };
    await create('before');
    const backup = await fleet.kk('etcd', 'backup', plan);
    t.equal(backup.code, 0, backup.stderr + backup.stdout);
    await create('after');

    const newest = (await fleet.on('node1', 'ls -t /var/lib/etcd-backup/etcd-*.db | head -n 1')).trim();
    const snapshot = '/var/lib/etcd-backup/restore.db';
    const copied = await fleet.kk('cp', `node1:${newest}`, fleet.folder);
    t.equal(copied.code, 0, copied.stderr);
    const brought = await fleet.kk('cp', fleet.path(basename(newest)), `etcd:${snapshot}`);
    t.equal(brought.code, 0, brought.stderr);
    const restored = await fleet.kk('etcd', 'restore', plan, '--snapshot', snapshot, '--yes');
    t.equal(restored.code, 0, restored.stderr + restored.stdout);

    t.match(
      await cluster.kubectl('get', 'configmap', 'before'),
      { code: 0 },
      'what was there before the snapshot is there',
    );
    t.match(
      await cluster.kubectl('get', 'configmap', 'after'),
      { code: 1, stderr: /NotFound/ },
      'what came later is not',
    );
    await cluster.check(t, NODES);
    await cluster.kubectl('delete', 'configmap', 'before');
    const { code, run } = await fleet.apply(PLANS.ha);
    const changes = run.changes.map(({ node, task }) => `${node} ${task}`);
    t.same({ code, changes }, { code: 0, changes: [] }, 'and is as the plan says');
  });
}
