import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { parseAllDocuments } from 'yaml';
import type { Json, Vars } from '../../shared/share.ts';
import { RoleOn } from '../support/role-on.ts';

/** What kubeadm is given, whole, by version: `KK_UPDATE=1 npm test -- test/controller/kubeadm-roles.test.ts` writes it anew. */

const FIXTURES = 'test/fixtures/kubeadm';

const MACHINES: Record<string, { address: string; groups: string[] }> = {
  cp1: { address: '10.0.0.11', groups: ['control_plane', 'etcd'] },
  cp2: { address: '10.0.0.12', groups: ['control_plane', 'etcd'] },
  cp3: { address: '10.0.0.13', groups: ['control_plane', 'etcd'] },
  w1: { address: '10.0.0.21', groups: ['worker'] },
  w2: { address: '10.0.0.22', groups: ['worker'] },
};
const CA = '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n';

/** The files that a role writes from templates on a node, by path, in order. */
function filesOf(role: string, name: string, config: Vars): Map<string, string> {
  const bound = { kubeadm_formed: { exists: false }, kubeadm_joined: { exists: false }, cluster_ca: { stdout: CA } };
  return new RoleOn(role, { name, machines: MACHINES, config, bound }).files();
}

/** As init.sh and join.sh put it together. */
function configurations(config: Vars): Record<string, string> {
  const init = filesOf('kubernetes/init', 'cp1', config);
  const whole = (files: Map<string, string>, ...names: string[]): string =>
    names.map((name) => files.get(`/etc/kubernetes/${name}`) ?? '').join('');
  const plane = filesOf('kubernetes/join', 'cp2', config);
  const worker = filesOf('kubernetes/join', 'w1', config);
  return {
    'init.yaml': whole(init, 'kubeadm-init.yaml', 'kubeadm-settings.yaml'),
    'join-control-plane.yaml': whole(plane, 'kubeadm-join.yaml', 'kubeadm-join-control-plane.yaml'),
    'join-worker.yaml': whole(worker, 'kubeadm-join.yaml'),
    'discovery.conf': whole(worker, 'kubeadm-discovery.conf'),
  };
}

const FULL: Vars = {
  cluster_name: 'full',
  kubernetes: {
    version: 'v1.33.1',
    image_repository: 'registry.example/k8s',
    control_plane_endpoint: { type: 'external', domain: 'api.example', address: '10.0.0.5', port: 443 },
    apiserver: {
      port: 7443,
      cert_sans: ['api.example.org', '192.0.2.1'],
      extra_args: { 'audit-log-maxage': 7, v: 4, profiling: true },
    },
    controller_manager: { extra_args: { 'cluster-signing-duration': '87600h' } },
    scheduler: { extra_args: { v: 2 } },
    kubelet: {
      max_pods: 200,
      root_dir: '/data/kubelet',
      extra_args: { v: 3 },
      extra_config: { kubeReserved: { memory: '1Gi' }, evictionHard: { 'memory.available': '5%' } },
    },
    kube_proxy: { mode: 'nftables', extra_config: { conntrack: { maxPerCore: 0 } } },
    feature_gates: { GracefulNodeShutdown: true, ImageVolume: false },
    patches: [{ target: 'kube-apiserver0+merge.yaml', content: '{}' }],
    taints: [{ key: 'example.com/new', effect: 'NoExecute' }],
    audit: { enabled: true },
    security: true,
    ignore_preflight_errors: ['NumCPU'],
  },
  cni: { pod_cidr: '10.64.0.0/16, fd64::/56', service_cidr: '10.65.0.0/16,fd65::/112' },
  node_taints: [{ key: 'disk', value: 'slow', effect: 'PreferNoSchedule' }],
};

const CASES: Record<string, Vars> = { full: FULL };
for (const version of ['v1.20.2', 'v1.22.17', 'v1.28.15', 'v1.31.4', 'v1.34.2'])
  for (const mode of ['external', 'internal'])
    CASES[`${version.split('.').slice(0, 2).join('.')}-${mode}`] = { kubernetes: { version }, etcd: { mode } };

t.test('kubeadm is given the same for each version as ever', async (t) => {
  for (const [name, config] of Object.entries(CASES)) {
    for (const [file, text] of Object.entries(configurations(config))) {
      const path = join(FIXTURES, name, file);
      for (const document of parseAllDocuments(text)) t.strictSame(document.errors, [], `${path} is YAML`);
      if (process.env['KK_UPDATE'] !== undefined) {
        await mkdir(join(FIXTURES, name), { recursive: true });
        await writeFile(path, text);
      }
      t.equal(text, await readFile(path, 'utf8').catch(() => 'no such fixture'), path);
    }
  }
});

t.test('what a version does not know is not in it', async (t) => {
  const documents = async (name: string, file: string): Promise<Record<string, Record<string, Json>>> =>
    Object.fromEntries(
      parseAllDocuments(configurations(CASES[name] ?? {})[file] ?? '')
        .map((document) => document.toJS() as Record<string, Json> | null)
        .flatMap((document) => (document ? [[String(document['kind']), document]] : [])),
    );
  const old = await documents('v1.20-external', 'init.yaml');
  t.match(old, {
    InitConfiguration: {
      apiVersion: 'kubeadm.k8s.io/v1beta2',
      nodeRegistration: {
        criSocket: '/run/containerd/containerd.sock',
        taints: [{ key: 'node-role.kubernetes.io/master', effect: 'NoSchedule' }],
        kubeletExtraArgs: { 'node-ip': '10.0.0.11' },
      },
    },
    ClusterConfiguration: {
      controlPlaneEndpoint: 'lb.kubernetes.local:8443',
      etcd: { external: { endpoints: ['https://10.0.0.11:2379', 'https://10.0.0.12:2379', 'https://10.0.0.13:2379'] } },
      controllerManager: { extraArgs: { 'node-cidr-mask-size': '24' } },
    },
    KubeletConfiguration: { cgroupDriver: 'systemd', maxPods: 110, rotateCertificates: true },
    KubeProxyConfiguration: { mode: 'ipvs' },
  });
  const current = await documents('v1.34-internal', 'init.yaml');
  t.match(current, {
    InitConfiguration: {
      apiVersion: 'kubeadm.k8s.io/v1beta4',
      nodeRegistration: {
        criSocket: 'unix:///run/containerd/containerd.sock',
        taints: [{ key: 'node-role.kubernetes.io/control-plane', effect: 'NoSchedule' }],
        kubeletExtraArgs: [{ name: 'node-ip', value: '10.0.0.11' }],
      },
    },
    ClusterConfiguration: { etcd: { local: { dataDir: '/var/lib/etcd' } } },
  });
  t.notMatch(current, { ClusterConfiguration: { apiServer: { timeoutForControlPlane: String } } });
  const joining = configurations(CASES['v1.28-external'] ?? {});
  t.notMatch(joining['join-worker.yaml'], /certificate_key/, 'a worker never sees the key of the certificates');
  t.match(joining['join-worker.yaml'], /taints: \[\]/);
  t.match(joining['discovery.conf'], Buffer.from(CA).toString('base64'), 'whoever joins knows the CA beforehand');
  const { 'init.yaml': none } = configurations({ kubernetes: { kube_proxy: { mode: 'none' } } });
  t.notMatch(none, /KubeProxyConfiguration/);
});

t.test('what is not what was planned is seen: settings are compared without their secrets', async (t) => {
  const files = filesOf('kubernetes/init', 'cp1', {});
  t.notMatch(
    files.get('/etc/kubernetes/kubeadm-settings.yaml'),
    /cp2|10\.0\.0\.12:6443/,
    'nor are control planes that may come',
  );
  t.notMatch(files.get('/etc/kubernetes/kubeadm-settings.yaml'), /<bootstrap_token>|<certificate_key>/);
  t.match(
    files.get('/etc/kubernetes/kubeadm-init.yaml'),
    /token: <bootstrap_token>[\s\S]*certificateKey: <certificate_key>/,
  );
});

t.test('one that joined a cluster and is now named first gets nothing of another', async (t) => {
  const writes = (joined: boolean, version: string) => {
    const role = new RoleOn('kubernetes/init', {
      name: 'cp1',
      machines: MACHINES,
      config: { kubernetes: { version } },
      bound: { kubeadm_formed: { exists: false }, kubeadm_joined: { exists: joined } },
    });
    return [...role.files().keys()];
  };
  for (const version of ['v1.20.2', 'v1.33.1']) {
    t.same(writes(true, version), []);
    t.equal(writes(false, version).length, 2);
  }
});

t.test('kubectl is where it is used: on control planes, and where a node states labels of its own', async (t) => {
  const has = (name: string, config: Vars = {}) =>
    new RoleOn('kubernetes/binaries', { name, machines: MACHINES, config }).runs('kubectl');
  const labels: Vars = { node_labels: { disk: 'fast' } };
  t.same([has('cp1'), has('w1'), has('w1', labels)], [true, false, true]);
  const alone = (config: Vars) => new RoleOn('kubernetes/finish', { name: 'w1', machines: MACHINES, config });
  for (const task of ['kubectl', 'own-labels'])
    t.same([alone({}).runs(task), alone(labels).runs(task)], [false, true], 'and where only the last phase is run');
});

t.test('a snapshot of etcd is taken where control planes join a cluster that is there', async (t) => {
  const takes = (name: string, mode: string, formed: boolean, outsiders: string) =>
    new RoleOn('kubernetes/init', {
      name,
      machines: MACHINES,
      config: { etcd: { mode } },
      bound: {
        kubeadm_formed: { exists: formed },
        kubeadm_outsiders: { stdout: outsiders, stdout_lines: outsiders === '' ? [] : outsiders.split('\n') },
      },
    }).runs('snapshot');
  t.ok(takes('cp1', 'internal', true, 'cp3\nw1'));
  t.notOk(takes('cp1', 'internal', true, 'w1'), 'workers are no members');
  t.notOk(takes('cp1', 'internal', true, 'cp1\ncp3 (not Ready)\nw1'), 'nobody joins');
  t.notOk(takes('cp1', 'internal', false, ''), 'it was made in this run');
  t.notOk(takes('cp1', 'external', true, 'cp3'));
  t.notOk(takes('cp2', 'internal', true, 'cp3'));
});
