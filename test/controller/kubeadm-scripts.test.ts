import { execFile } from 'node:child_process';
import { chmod, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { parse } from 'yaml';
import { knownFailure } from '../../agent/actions/known-failure.ts';
import type { KnownFailure } from '../../shared/actions/known-failure.ts';

const ROLES = 'controller/playbooks/roles/kubernetes';
const TOKEN = 'abcdef.0123456789abcdef';
const KEY = '5d1e3d0c8b7a69584736251403f2e1d0c1b2a39485766758493a2b1c0d9e8f70';

/** What kubeadm does of what matters here: makes a CA where there is none, tells secrets, fails or is killed on demand. */
const KUBEADM = `#!/bin/sh
echo "$*" | sed 's/ --config [^ ]*//' >>ETC/calls
case $1 in
  reset) [ ! -e ETC/stuck ] || exit 1; rm -rf ETC/pki ETC/manifests ETC/kubelet.conf; exit ;;
esac
[ "$2" != phase ] || exit 0
cat "$3" >ETC/given
if grep -qs 'execution phase preflight' ETC/fail; then
  cat ETC/fail >&2
  exit 1
fi
mkdir -p ETC/pki ETC/manifests
[ -e ETC/pki/ca.crt ] || echo "ca $$" >ETC/pki/ca.crt
echo "[bootstrap-token] Using token: ${TOKEN}"
printf '[upload-certs] Using certificate key:\\n${KEY}\\n'
[ ! -e ETC/kill ] || kill -9 $PPID
[ ! -e ETC/registers ] || : >ETC/kubelet.conf
if [ -s ETC/fail ]; then
  cat ETC/fail >&2
  exit 1
elif [ -e ETC/fail ]; then
  echo "[kubelet-start] Starting the kubelet"
  echo "error execution phase kubelet-start: timed out waiting for the condition" >&2
  exit 1
fi
echo "Your Kubernetes control-plane has initialized successfully!"
echo "  kubeadm join x --token ${TOKEN} --certificate-key ${KEY}"
`;

/** A node of which the scripts see nothing but these folders. */
class Machine {
  readonly #root: string;
  readonly etc: string;

  constructor(root: string) {
    this.#root = root;
    this.etc = join(root, 'etc');
  }

  async set(name: string, text: string): Promise<void> {
    await writeFile(join(this.etc, name), text);
  }

  async read(name: string): Promise<string> {
    return await readFile(join(this.etc, name), 'utf8').catch(() => '');
  }

  async begin(): Promise<void> {
    await mkdir(this.etc, { recursive: true });
    await mkdir(join(this.#root, 'run'));
    await this.program('kubeadm', KUBEADM);
    await this.program('kubectl', '#!/bin/sh\necho "$*" >>ETC/asked\ncat "ETC/nodes"\n');
    await this.program(
      'journalctl',
      `#!/bin/sh
[ -e ETC/journal ] && exec cat ETC/journal
for second in 1 2 3; do
  echo "F1121 10:00:0$second.1    7$second server.go:208] unrecognized feature gate: NoSuchGate"
  echo "goroutine 1 [running]:"
  echo "kubelet.service: Failed with result 'exit-code'."
done
echo "E1121 10:00:00.1    77 kubelet.go:1] failed to run Kubelet: no cgroup"
`,
    );
    await this.program('systemctl', '#!/bin/sh\necho "$*" >>ETC/units\n');
    await this.set('kubeadm-init.yaml', 'init\n');
    await this.set('kubeadm-settings.yaml', 'settings: 1\n');
    await this.set('kubeadm-join.yaml', 'join\n');
  }

  async run(script: string, ...args: string[]): Promise<{ code: number | string | null; out: string; err: string }> {
    const path = join(this.#root, 'script.sh');
    await writeFile(path, this.#here(await readFile(join(ROLES, script), 'utf8')));
    const shared = await readFile(join(ROLES, 'init/files/evidence.sh'), 'utf8');
    await writeFile(join(this.#root, 'evidence.sh'), this.#here(shared));
    return await new Promise((resolve) => {
      execFile('sh', [path, ...args], (error, out, err) =>
        resolve({ code: error ? (error.code ?? error.signal ?? null) : 0, out, err }),
      );
    });
  }

  get bin(): string {
    return join(this.#root, 'bin');
  }

  async program(name: string, text: string): Promise<void> {
    await mkdir(this.bin, { recursive: true });
    await writeFile(join(this.bin, name), this.#here(text).replaceAll('ETC', this.etc));
    await chmod(join(this.bin, name), 0o755);
  }

  #here(text: string): string {
    return text
      .replaceAll('/etc/kubernetes', this.etc)
      .replaceAll('/run/', `${this.#root}/run/`)
      .replaceAll('/var/log/pods', `${this.#root}/pods`);
  }

  async left(): Promise<string[]> {
    return [
      ...(await readdir(join(this.#root, 'run'))),
      ...(await readdir(this.etc)).filter((name) => /begun|kept|new/.test(name)),
    ];
  }
}

async function machine(t: Tap): Promise<Machine> {
  const made = new Machine(t.testdir());
  await made.begin();
  return made;
}
type Tap = { testdir(): string };

const remedies = async (): Promise<KnownFailure[]> => parse(await readFile(join(ROLES, 'remedies.yaml'), 'utf8'));

t.test('an init that failed or was cut off is begun anew, with the pki it had', async (t) => {
  const node = await machine(t);
  const init = () => node.run('init/files/init.sh', node.bin, '/run/c.sock', 'addon/coredns');
  await node.set('fail', '');
  const failed = await init();
  t.equal(failed.code, 1);
  t.match(failed.err, /kubelet-start: timed out waiting for the condition/, 'what kubeadm says');
  t.match(failed.err, /\nkubelet.go:1\] failed to run Kubelet: no cgroup/, "and the kubelet's journal");
  t.equal(failed.err.split('unrecognized feature gate: NoSuchGate').length, 2, 'what it ends with, once');
  t.notMatch(failed.err, 'goroutine');
  t.ok(failed.err.trimEnd().split('\n').length <= 20, 'as many lines as an error shows');
  const ca = await node.read('pki/ca.crt');
  t.match(ca, /^ca /);

  await rm(join(node.etc, 'fail'));
  await node.set('kill', '');
  await init();
  await node.set('pki/apiserver.key', '');
  await node.set('pki/apiserver.crt', 'certificate\n');
  await rm(join(node.etc, 'kill'));
  const went = await init();
  t.equal(went.code, 0, went.err);
  t.equal(await node.read('pki/ca.crt'), ca, 'the same CA: etcd may hold what was signed with it');
  t.strictSame(
    (await node.read('calls'))
      .trim()
      .split('\n')
      .map((line) => line.split(' ')[0]),
    ['init', 'reset', 'init', 'reset', 'init'],
  );
  t.notOk(
    (await readdir(join(node.etc, 'pki'))).includes('apiserver.crt'),
    'half a pair, as a power failure leaves it, is made anew',
  );
  t.match(await node.read('calls'), /--upload-certs --skip-phases=addon\/coredns/);
  t.equal(await node.read('given'), 'init\nsettings: 1\n');
  t.equal(await node.read('kubeadm-formed.yaml'), 'settings: 1\n');
  t.strictSame(await node.left(), [], 'and nothing is left over');
  for (const { out, err } of [failed, went])
    t.notMatch(out + err, new RegExp(`${TOKEN}|${KEY}`), 'no secret in what is shown');
});

const PREFLIGHT = 'error execution phase preflight: [preflight] Some fatal errors occurred:\n\t';
const KUBELET = `[kubelet-check] It seems like the kubelet isn't running or healthy.
error execution phase wait-control-plane: couldn't initialize a Kubernetes cluster`;
const API = 'https://lb.kubernetes.local:8443/api/v1/namespaces/kube-system/configmaps/kubeadm-config?timeout=10s';
/** What kubeadm and the kubelet say in the field (1.20 and later), and what a person is then told. */
const FAILURES: [kubeadm: string, kubelet: string, cause: RegExp, remedy: RegExp][] = [
  [`${PREFLIGHT}[ERROR Port-10250]: Port 10250 is in use`, '', /port 10250 .* taken/, /sport = :10250/],
  [
    `${PREFLIGHT}[ERROR ImagePull]: failed to pull image k8s.gcr.io/kube-apiserver:v1.20.2: output: time="2026-01-01T00:00:00Z" level=fatal msg="pulling image: rpc error: code = Unknown desc = failed to pull and unpack image \\"k8s.gcr.io/kube-apiserver:v1.20.2\\": failed to resolve reference \\"k8s.gcr.io/kube-apiserver:v1.20.2\\": failed to do request: Head \\"http://10.0.0.1:5000/v2/kube-apiserver/manifests/v1.20.2?ns=k8s.gcr.io\\": dial tcp 10.0.0.1:5000: connect: connection refused"\n, error: exit status 1`,
    '',
    /k8s\.gcr\.io\/kube-apiserver:v1\.20\.2 cannot be fetched, for 10\.0\.0\.1:5000 does not answer/,
    /curl http:\/\/10\.0\.0\.1:5000\/v2\//,
  ],
  [
    `${PREFLIGHT}[ERROR ImagePull]: failed to pull image registry.k8s.io/etcd:9: rpc error: code = NotFound desc = failed to pull and unpack image "registry.k8s.io/etcd:9": registry.k8s.io/etcd:9: not found`,
    '',
    /no image registry\.k8s\.io\/etcd:9/,
    /image_repository/,
  ],
  [
    `${PREFLIGHT}[ERROR ImagePull]: failed to pull image reg.example/pause:3.9: rpc error: failed to resolve reference "reg.example/pause:3.9": failed to do request: Head "https://reg.example/v2/pause/manifests/3.9": tls: failed to verify certificate: x509: certificate signed by unknown authority`,
    '',
    /certificate of its registry is not trusted/,
    /ca_file/,
  ],
  [
    `${PREFLIGHT}[ERROR ImagePull]: failed to pull image reg.example/pause:3.9: rpc error: failed to resolve reference "reg.example/pause:3.9": pull access denied, repository does not exist or may require authorization: authorization failed: no basic auth credentials`,
    '',
    /not given to us/,
    /auth \(username and password_file\)/,
  ],
  [
    `${PREFLIGHT}[ERROR ImagePull]: failed to pull image reg.example/pause:3.9: rpc error: dial tcp 10.0.0.1:443: connect: permission denied`,
    '',
    /reg\.example\/pause:3\.9 cannot be fetched\.$/,
    /crictl pull/,
  ],
  [
    `${PREFLIGHT}[ERROR FileAvailable--etc-kubernetes-pki-ca.crt]: /etc/kubernetes/pki/ca.crt already exists`,
    '',
    /files of another cluster \(-etc-kubernetes-pki-ca\.crt,/,
    /delete cluster/,
  ],
  [
    KUBELET,
    'F1121 10:00:00.1 77 server.go:269] failed to run Kubelet: running with swap on is not supported, please disable swap! or set --fail-swap-on flag to false.',
    /swap is on/,
    /swap: keep/,
  ],
  [
    KUBELET,
    'E1121 10:00:00.1 77 pod_workers.go:1] failed to create containerd task: expected cgroupsPath to be of format "slice:prefix:name" for systemd cgroups, got "/kubepods/x" instead',
    /different cgroup drivers/,
    /cri\.cgroup_driver/,
  ],
  [
    KUBELET,
    'E1121 10:00:00.1 77 run.go:74] "command failed" err="failed to load kubelet config file, path: /var/lib/kubelet/config.yaml, error: failed to load Kubelet config file /var/lib/kubelet/config.yaml, error failed to decode: strict decoding error: unknown field \\"maxPodz\\""',
    /refuses its configuration.*maxPodz/,
    /kubernetes\.kubelet\.extra_config/,
  ],
  [
    KUBELET,
    'F1121 10:00:00.1 77 server.go:1] unrecognized feature gate: NoSuch',
    /feature gate NoSuch/,
    /feature_gates/,
  ],
  [KUBELET, 'E1121 10:00:00.1 77 server.go:1] failed to write: no space left on device', /disk .* full/, /df -h/],
  [
    KUBELET,
    'E1121 10:00:00.1 77 kubelet.go:1] node "cp1" not found',
    /kubelet does not get healthy/,
    /journalctl -u kubelet/,
  ],
  [
    'error execution phase preflight: unable to fetch the kubeadm-config ConfigMap: failed to get config map: Unauthorized',
    '',
    /does not know the token/,
    /^Go on with `apply --resume`/,
  ],
  [
    'error execution phase kubelet-start: timed out waiting for the condition',
    'F1121 10:00:00.1 77 server.go:269] failed to run Kubelet: cannot create certificate signing request: Unauthorized',
    /does not know the token/,
    /makes it known again/,
  ],
  [
    'error execution phase control-plane-prepare/download-certs: error downloading certs: error downloading the secret: Secret "kubeadm-certs" was not found in the "kube-system" Namespace. This Secret might have expired.',
    '',
    /no longer kept in the cluster/,
    /apply --resume/,
  ],
  [
    'error execution phase preflight: couldn\'t validate the identity of the API Server: cluster CA found in cluster-info ConfigMap is invalid: none of the public keys "sha256:ab" are pinned',
    '',
    /another cluster answers/,
    /getent hosts/,
  ],
  [
    `error execution phase preflight: unable to fetch the kubeadm-config ConfigMap: failed to get config map: Get "${API}": x509: certificate has expired or is not yet valid: current time 2020-01-01T00:00:00Z is before 2026-11-22T00:00:00Z`,
    '',
    /clock: current time 2020-01-01T00:00:00Z is before 2026/,
    /date -u/,
  ],
  [
    `error execution phase preflight: unable to fetch the kubeadm-config ConfigMap: failed to get config map: Get "${API}": dial tcp 127.0.0.1:8443: connect: connection refused`,
    '',
    /no way from this node to 127\.0\.0\.1, port 8443 \(connection refused\)/,
    /kk-haproxy/,
  ],
  [
    `error execution phase preflight: unable to fetch the kubeadm-config ConfigMap: failed to get config map: Get "${API}": dial tcp: lookup lb.kubernetes.local on 10.0.0.2:53: no such host`,
    '',
    /does not know the name of the endpoint \(lb\.kubernetes\.local\)/,
    /hosts_file/,
  ],
  [
    'error execution phase check-etcd: etcd cluster is not healthy: failed to dial endpoint https://10.0.0.11:2379 with maintenance client: context deadline exceeded',
    '',
    /etcd is not healthy/,
    /crictl logs/,
  ],
  [
    "error execution phase wait-control-plane: failed while waiting for the kubelet to start: The HTTP call equal to 'curl -sSL http://127.0.0.1:10248/healthz' returned error",
    '',
    /kubelet does not get healthy/,
    /journalctl -u kubelet/,
  ],
  [
    "error execution phase wait-control-plane: couldn't initialize a Kubernetes cluster",
    '',
    /control plane did not answer in time/,
    /crictl ps -a/,
  ],
];

t.test('what a failed init or join means is told, and what to do', async (t) => {
  const known = await remedies();
  const node = await machine(t);
  for (const [kubeadm, kubelet, cause, remedy] of FAILURES) {
    await node.set('journal', `${kubelet}\n`);
    // With newer versions the line begins with one word more.
    for (const said of [kubeadm, kubeadm.replace(/^error execution/m, 'error: error execution')]) {
      await node.set('fail', `${said}\n`);
      const { out, err } = await node.run(
        'join/files/join.sh',
        node.bin,
        '/run/c.sock',
        'external',
        'w1',
        '/snapshots',
      );
      t.match(knownFailure(known, `${out}\n${err}`), { cause, remedy }, said.slice(0, 60) + cause.source);
    }
  }
  await node.set('kubeadm-formed.yaml', '');
  const { err } = await node.run('join/files/join.sh', node.bin, '/run/c.sock', 'external', 'w1', '/snapshots');
  t.match(knownFailure(known, err), {
    cause: /^NODE_IN_CLUSTER: .*it was formed on this node\.$/,
    remedy: /^Put this node first in the group control_plane again\./,
  });
});

t.test('settings of a cluster that is there are not changed without a word', async (t) => {
  const node = await machine(t);
  await node.set('kubeadm-formed.yaml', 'settings: 1\n');
  t.equal((await node.run('init/files/compare-settings.sh')).code, 0);
  await node.set('kubeadm-settings.yaml', 'settings: 2\n');
  const { code, err } = await node.run('init/files/compare-settings.sh');
  t.equal(code, 1);
  t.match(err, /formed with other settings[\s\S]*-settings: 1\n\+settings: 2/);
});

t.test('who is not in the cluster is found; token and certificates are renewed for them', async (t) => {
  const node = await machine(t);
  await node.set('nodes', 'cp1=True\ncp10=True\nw1=False\n');
  const { out } = await node.run('init/files/outsiders.sh', node.bin, 'cp1', 'cp10', 'w1', 'w10');
  t.equal(out, 'w1 (not Ready)\nw10\n', 'one that is not Ready may have to join again');
  await node.program('kubectl', '#!/bin/sh\necho "Error from server: etcdserver: request timed out" >&2; exit 1\n');
  const { err } = await node.run('init/files/outsiders.sh', node.bin, 'cp1');
  t.match(knownFailure(await remedies(), err), { cause: /etcdserver: request timed out$/, remedy: /crictl logs/ });
  await node.set('kubeadm-renewal.yaml', 'new token\n');
  await rm(join(node.etc, 'kubeadm-init.yaml'));
  t.equal((await node.run('init/files/renew.sh', node.bin)).code, 0);
  t.equal(await node.read('kubeadm-renewal.yaml'), '', 'no secret is left lying about');
  t.equal(await node.read('calls'), 'init phase bootstrap-token\ninit phase upload-certs --upload-certs\n');
});

t.test('nodes that the cluster has and the plan does not name are told', async (t) => {
  const node = await machine(t);
  await node.program('kubectl', '#!/bin/sh\nprintf "node/cp1\\nnode/w1\\nnode/w10\\n"\n');
  const go = (...named: string[]) => node.run('finish/files/wait-for-nodes.sh', node.bin, ...named);
  t.match(await go('cp1', 'w1'), { code: 0, out: /^w10\n$/ });
  t.match(await go('cp1', 'w1', 'w10'), { code: 0, out: /^$/ });
});

t.test('a join that failed is begun anew; as a control plane with the key', async (t) => {
  const node = await machine(t);
  const go = () => node.run('join/files/join.sh', node.bin, '/run/c.sock', 'external', 'cp2', '/snapshots');
  await node.set('fail', '');
  t.equal((await go()).code, 1);
  await rm(join(node.etc, 'fail'));
  await node.set('kubeadm-join-control-plane.yaml', 'key\n');
  await node.set('kubelet.conf', '');
  await node.set('admin.conf', '');
  await node.set('nodes', '');
  const went = await go();
  t.equal(went.code, 0, went.err);
  t.equal(await node.read('given'), 'join\nkey\n');
  t.strictSame(
    (await node.read('calls'))
      .trim()
      .split('\n')
      .map((line) => line.split(' ')[0]),
    ['join', 'reset', 'reset', 'join'],
  );
  t.match(await node.read('asked'), /delete node cp2/, 'the cluster forgets the one that was half in');
  t.ok((await readdir(node.etc)).includes('kubeadm-joined'));
  t.strictSame(await node.left(), []);
  t.notMatch(went.out + went.err, new RegExp(`${TOKEN}|${KEY}`));
});

t.test('what kubeadm only looked at stays as it is, however often it is tried', async (t) => {
  for (const script of ['init', 'join']) {
    const node = await machine(t);
    const args = script === 'init' ? [''] : ['external', 'w1', '/snapshots'];
    const go = () => node.run(`${script}/files/${script}.sh`, node.bin, '/run/c.sock', ...args);
    await mkdir(join(node.etc, 'pki'));
    await node.set('pki/ca.crt', "a person's\n");
    for (const prefix of ['', 'error: ']) {
      await node.set('fail', `${prefix}error execution phase preflight: [ERROR Port-10250]: Port 10250 is in use\n`);
      const { code, err } = await go();
      t.equal(code, 1);
      t.match(err, /Port 10250 is in use/);
    }
    t.equal((await node.run('init/files/reset.sh', node.bin, '/run/c.sock')).code, 0, 'and rolled back');
    t.equal(await node.read('pki/ca.crt'), "a person's\n");
    t.equal(await node.read('calls'), `${script}${' --upload-certs'.repeat(Number(script === 'init'))}\n`.repeat(2));
    t.strictSame(await node.left(), []);
    // One that was cut off is not forgotten for that.
    await node.set(`kubeadm-${script}.begun`, '');
    await go();
    t.strictSame(await node.left(), [`kubeadm-${script}.begun`]);
    await rm(join(node.etc, '..'), { recursive: true });
  }
});

t.test('a worker that could not join takes no part in the cluster', async (t) => {
  const node = await machine(t);
  const go = () => node.run('join/files/join.sh', node.bin, '/run/c.sock', 'external', 'w1');
  await node.set('fail', '');
  const failed = await go();
  t.equal(failed.code, 1);
  t.match(failed.err, /failed to run Kubelet/, 'what was seen before it was taken back');
  t.equal(await node.read('calls'), 'join\nreset --force --cri-socket /run/c.sock\n');
  t.equal(await node.read('units'), '');
  // Registered, but not in: the next try takes it out.
  await node.set('calls', '');
  await node.set('registers', '');
  t.equal((await go()).code, 1);
  t.equal(await node.read('calls'), 'reset --force --cri-socket /run/c.sock\njoin\n');
  t.equal(await node.read('units'), 'stop kubelet\n');
});

t.test('before members of etcd come or go there is a snapshot, and the newest few stay', async (t) => {
  const node = await machine(t);
  const folder = join(node.etc, 'snapshots');
  const data = join(node.etc, 'data');
  await mkdir(data);
  await node.program(
    'ctr',
    `#!/bin/sh
echo "$*" >>ETC/ctr
case "$*" in
  *'tasks ls') printf 'TASK PID STATUS\nold 7 STOPPED\nnew 8 RUNNING\n'; exit ;;
  *'containers ls'*) printf 'new\nold\n'; exit ;;
esac
[ ! -e ETC/mute ] || { echo 'context deadline exceeded' >&2; exit 1; }
echo data >"ETC/data/.kk-snapshot.db"
`,
  );
  const take = () => node.run('init/files/snapshot-etcd.sh', node.bin, '/run/c.sock', data, folder, '2');
  const first = await take();
  t.equal(first.code, 0, first.err);
  t.match(first.out, /snapshots\/etcd-\d{8}T\d{6}Z\.db\n$/);
  t.match(await node.read('ctr'), /tasks exec --exec-id \S+ new .*snapshot save/, 'by the container that runs');
  for (const year of ['2020', '2021']) await node.set(`snapshots/etcd-${year}0101T000000Z.db`, 'old');
  t.equal((await take()).code, 0);
  const kept = await readdir(folder);
  t.equal(kept.length, 2);
  t.notOk(kept.includes('etcd-20200101T000000Z.db'), 'the oldest goes');
  t.strictSame(await readdir(data), [], 'nothing is left in the folder of the data');
  await node.set('mute', '');
  const failed = await take();
  t.equal(failed.code, 1);
  t.match(knownFailure(await remedies(), failed.err), {
    cause: /^ETCD_NO_SNAPSHOT: .*context deadline exceeded/,
    remedy: /apply --resume/,
  });
  t.equal((await readdir(folder)).length, 2);
});

t.test('a node that is in a cluster is not touched, however often it is tried', async (t) => {
  const conf = 'clusters:\n- cluster:\n    server: https://10.0.0.9:6443\n';
  const cases: [script: 'init' | 'join', files: Record<string, string>, said: RegExp][] = [
    ['init', { 'kubelet.conf': conf }, /\(https:\/\/10\.0\.0\.9:6443\): .*no init of kk/],
    ['init', { 'kubelet.conf': conf, 'kubeadm-joined': '' }, /first control plane is another[\s\S]*first in the group/],
    ['init', { 'kubeadm-init.begun': '', 'kubeadm-joined': '' }, /first control plane is another/],
    ['join', { 'kubelet.conf': conf }, /no join of kk made them[\s\S]*`delete cluster`/],
    ['join', { 'kubeadm-join.begun': '', 'kubeadm-formed.yaml': '' }, /formed on this node/],
    ['join', { 'manifests/own.yaml': '' }, /static pods/],
  ];
  for (const [script, files, said] of cases) {
    const node = await machine(t);
    await mkdir(join(node.etc, 'manifests'));
    for (const [name, text] of Object.entries(files)) await node.set(name, text);
    const before = (await readdir(node.etc)).sort();
    for (const attempt of ['first', 'second']) {
      const { code, err } = await node.run(
        `${script}/files/${script}.sh`,
        node.bin,
        '/run/c.sock',
        'external',
        'cp2',
        '/snapshots',
      );
      t.equal(code, 1);
      t.match(err, /^NODE_IN_CLUSTER: /, `${attempt} ${script} with ${Object.keys(files)}`);
      t.match(err, said);
    }
    t.equal(await node.read('calls'), '', 'kubeadm is not even asked');
    t.strictSame((await readdir(node.etc)).sort(), before);
    await rm(join(node.etc, '..'), { recursive: true });
  }
});

t.test('a cluster that could not be taken back is taken back by the next try', async (t) => {
  const node = await machine(t);
  await node.set('kubeadm-joined', '');
  await node.set('kubelet.conf', '');
  await node.set('nodes', '');
  await node.set('stuck', '');
  t.equal((await node.run('init/files/reset.sh', node.bin, '/run/c.sock')).code, 1);
  await rm(join(node.etc, 'stuck'));
  t.equal((await node.run('join/files/join.sh', node.bin, '/run/c.sock', 'external', 'w1', '/snapshots')).code, 0);
  t.match(await node.read('calls'), /reset[\s\S]*reset[\s\S]*join/);
  t.strictSame(await node.left(), []);
});

const SAVED = `*nat
:PREROUTING ACCEPT [0:0]
:CNI-HOSTPORT-DNAT - [0:0]
:CNI-DN-0a1 - [0:0]
:CNI-DN-0b2 - [0:0]
:CNI-ffe - [0:0]
:KUBE-SERVICES - [0:0]
-A PREROUTING -j KUBE-SERVICES
-A POSTROUTING -s 10.9.0.0/16 ! -d 10.9.0.0/16 -m comment --comment kk-pods -j MASQUERADE
-A POSTROUTING -s 10.8.0.2/32 -m comment --comment "name: \\"podman\\" id: \\"b2\\"" -j CNI-ffe
-A CNI-HOSTPORT-DNAT -p tcp -m comment --comment "dnat name: \\"kk-pods\\" id: \\"a1\\"" -m multiport --dports 80 -j CNI-DN-0a1
-A CNI-HOSTPORT-DNAT -p tcp -m comment --comment "dnat name: \\"podman\\" id: \\"b2\\"" -m multiport --dports 81 -j CNI-DN-0b2
-A CNI-DN-0a1 -p tcp -j DNAT --to-destination 10.9.0.2:80
-A CNI-DN-0b2 -p tcp -j DNAT --to-destination 10.8.0.2:81
COMMIT
`;

t.test('a reset takes what is of the cluster, and nothing of others beside it', async (t) => {
  const folder = t.testdir({
    bin: {},
    proc: { self: { mountinfo: '' } },
    etc: { manifests: {} },
    run: {
      netns: { 'cni-aaa': '', 'cni-bbb': '' },
      containerd: {
        'io.containerd.runtime.v2.task': { 'k8s.io': { a1: { 'config.json': '"/var/run/netns/cni-aaa"' } } },
      },
    },
    lib: {
      kubelet: { 'config.yaml': '' },
      cni: {
        networks: {
          'kk-pods': { '10.9.0.2': 'a1' },
          podman: { '10.8.0.2': 'b2' },
          cbr0: { '10.7.0.2': 'a1\r\neth0', lock: '' },
        },
        results: { 'kk-pods-a1-eth0': '{}', 'podman-b2-eth0': '{}', 'cbr0-a1-eth0': '{}' },
      },
    },
    data: { pods: { a: '' }, pki: {}, cpu_manager_state: '', 'thesis.txt': '', member: {}, db: { x: '' } },
    saved: SAVED,
  });
  const program = async (name: string, text: string): Promise<void> =>
    await writeFile(join(folder, 'bin', name), `#!/bin/sh\n${text}\n`, { mode: 0o755 });
  for (const name of ['systemctl', 'nft', 'ipset', 'ipvsadm', 'ip6tables-save']) await program(name, 'exit 1');
  // As that of 1.20 does it.
  await program('kubeadm', `rm -rf ${folder}/lib/cni/*`);
  for (const name of ['ip6tables-nft-save', 'iptables-legacy-save', 'ip6tables-legacy-save', 'ctr'])
    await program(name, ':');
  await program('ip', `[ "$1" != netns ] || rm "${folder}/run/netns/$3"`);
  await program('iptables-save', `cat ${folder}/saved`);
  await program('iptables-nft-save', `cat ${folder}/saved`);
  await program('iptables-nft-restore', `cat >${folder}/new; mv ${folder}/new ${folder}/saved`);
  const script = (await readFile('controller/playbooks/roles/delete/kubernetes/files/reset.sh', 'utf8'))
    .replaceAll('/etc/kubernetes', `${folder}/etc`)
    .replaceAll('/root/', `${folder}/root/`)
    .replaceAll('/proc/', `${folder}/proc/`)
    .replaceAll('/sys/', `${folder}/sys/`)
    .replaceAll('/run/', `${folder}/run/`)
    .replaceAll('/var/log/', `${folder}/log/`)
    .replaceAll('/var/lib/', `${folder}/lib/`);
  await writeFile(join(folder, 'reset.sh'), script);
  const env = {
    BIN: join(folder, 'bin'),
    SOCKET: join(folder, 'none.sock'),
    KUBELET_ROOT: join(folder, 'data'),
    ETCD_DATA: join(folder, 'data'),
    SECONDS_FOR_RESET: '5',
    SKIP: '',
  };
  const reset = async (): Promise<{ code: unknown; out: string; err: string }> =>
    await new Promise((resolve) => {
      execFile('/bin/sh', [join(folder, 'reset.sh')], { env }, (error, out, err) =>
        resolve({ code: error?.code ?? 0, out, err }),
      );
    });
  const first = await reset();
  t.equal(first.code, 0, first.err);
  t.match(first.err, /Left in .*\/data, .*thesis\.txt/, 'what stays is named');
  t.strictSame((await readdir(join(folder, 'data'))).sort(), ['db', 'thesis.txt']);
  t.strictSame(await readdir(join(folder, 'run/netns')), ['cni-bbb']);
  t.strictSame(await readdir(join(folder, 'lib/cni/networks')), ['podman']);
  t.strictSame(await readdir(join(folder, 'lib/cni/results')), ['podman-b2-eth0']);
  t.notOk((await readdir(join(folder, 'lib'))).includes('kubelet'));
  t.strictSame(
    (await readFile(join(folder, 'saved'), 'utf8')).trim().split('\n'),
    SAVED.trim()
      .split('\n')
      .filter((line) => !/KUBE|kk-pods|0a1/.test(line)),
  );
  t.notOk((await readdir(join(folder, 'lib'))).includes('cni.kk-kept'));
  const again = await reset();
  t.strictSame([again.code, again.out], [0, ''], 'once more: nothing to do');
});

t.test('a call of the API that fails while a control plane comes or goes is made again', async (t) => {
  const folder = t.testdir({ made: '' });
  const kubectl = `#!/bin/sh
case $* in
  *' apply '*) cat >${folder}/yaml; echo x >>${folder}/made; [ "$(wc -l <${folder}/made)" -ge 2 ] || { echo 'unexpected EOF' >&2; exit 1; } ;;
  *' get endpoints '*) echo 10.0.0.11 ;;
  *' get service '*) printf 10.233.0.7 ;;
esac
`;
  await writeFile(join(folder, 'kubectl'), kubectl, { mode: 0o755 });
  const run = (seconds: string): Promise<[Error | null, string]> =>
    new Promise((resolve) => {
      const argv = ['controller/playbooks/roles/verify/files/make-service.sh', folder, '6443', seconds, 'external'];
      execFile('sh', argv, (error, out) => resolve([error, out]));
    });
  t.same(await run('30'), [null, '10.233.0.7']);
  t.match(await readFile(join(folder, 'yaml'), 'utf8'), /targetPort: 6443/);
  await rm(join(folder, 'made'));
  t.match(await run('0'), [{ code: 1 }, ''], 'and not for ever');
});
