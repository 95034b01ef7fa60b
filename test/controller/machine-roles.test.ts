import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { Vars } from '../../shared/share.ts';
import { RoleOn } from '../support/role-on.ts';

const MACHINES = {
  cp1: { address: '10.0.0.11', groups: ['control_plane', 'etcd'] },
  cp2: { address: '10.0.0.12', groups: ['control_plane'] },
  e1: { address: '10.0.0.15', groups: ['etcd'] },
  w1: { address: '10.0.0.21', groups: ['worker'] },
  w2: { address: '10.0.0.22', groups: ['worker'] },
};
const APT: Vars = { package_manager: 'apt' };

const on = (role: string, name: string, config: Vars = {}, bound: Vars = {}, facts: Vars = APT): RoleOn =>
  new RoleOn(role, { name, machines: MACHINES, config, bound, facts });

t.test('os: parameters of the kernel follow the number of nodes, the families of addresses and the plan', (t) => {
  const values = (config: Vars = {}, machines: typeof MACHINES = MACHINES) =>
    new RoleOn('os', { name: 'w1', machines, config, facts: APT }).inputs<{ values: Record<string, unknown> }>(
      'sysctl',
      'sysctl',
    ).values;
  const plain = values();
  t.match(plain, { 'net.ipv4.ip_forward': 1, 'vm.swappiness': 1, 'net.ipv4.neigh.default.gc_thresh3': 4096 });
  t.notOk('net.ipv4.tcp_tw_recycle' in plain, 'no kernel of today has it');
  for (const key of ['net.ipv6.conf.all.forwarding', 'kernel.panic']) t.notOk(key in plain, key);
  const many = Object.fromEntries(
    Array.from({ length: 3000 }, (_, index) => [`n${index}`, { address: '10.0.0.1', groups: ['worker'] }]),
  );
  t.match(values({}, { ...MACHINES, ...many }), {
    'net.ipv4.neigh.default.gc_thresh1': 1502,
    'net.ipv6.neigh.default.gc_thresh3': 12_020,
  });
  const other = values({
    os: { sysctl: { 'vm.swappiness': null, 'vm.max_map_count': 999_999 } },
    cni: { pod_cidr: '10.1.0.0/16,fd00::/56' },
    kubernetes: { security: true },
  });
  t.match(other, { 'vm.max_map_count': 999_999, 'net.ipv6.conf.all.forwarding': 1, 'kernel.panic': 10 });
  t.notOk('vm.swappiness' in other, 'null takes one out');
  const without = (missing: string[]) => on('os', 'w1', {}, { os_kernel: { missing } }).holds('needed');
  t.same([without(['net.core.rmem_max']), without(['net.ipv4.ip_forward'])], [true, false]);
  t.end();
});

t.test('os: a node knows the names it needs, and no worker another one', (t) => {
  const lines = (name: string, endpoint: Vars = {}) =>
    on('os', name, { kubernetes: { control_plane_endpoint: endpoint } })
      .text('hosts', 'block_in_file')
      .trim()
      .split('\n');
  const planes = ['10.0.0.11 cp1', '10.0.0.12 cp2'];
  t.same(lines('w1'), ['10.0.0.21 w1', ...planes, '127.0.0.1 lb.kubernetes.local']);
  t.same(lines('cp2'), ['10.0.0.12 cp2', '10.0.0.11 cp1', '127.0.0.1 lb.kubernetes.local']);
  t.same(lines('e1'), ['10.0.0.15 e1', ...planes], 'etcd asks no API server');
  t.equal(lines('w1', { type: 'local', domain: 'k8s' }).at(-1), '10.0.0.11 k8s');
  t.equal(lines('w1', { type: 'external', domain: 'k8s', address: '10.9.9.9' }).at(-1), '10.9.9.9 k8s');
  t.same(lines('w1', { type: 'external', address: 'lb.example.org' }), ['10.0.0.21 w1', ...planes], 'DNS knows it');
  t.end();
});

t.test('os: packages by their names on each family, and a clock', (t) => {
  const os = { packages: ['socat', 'conntrack', 'ebtables'], ntp: { enabled: true, servers: ['cp1', 'ntp.example'] } };
  const names = (package_manager: string) =>
    on('os', 'w1', { os }, {}, { package_manager }).inputs<{ name: string[] }>('packages', 'package').name;
  t.same(names('apt'), ['socat', 'conntrack', 'ebtables']);
  t.same(names('dnf'), ['socat', 'conntrack-tools']);
  t.notOk(on('os', 'w1', { os: { packages: [] } }).runs('packages'));
  t.match(on('os', 'w1', { os }).text('chrony-config', 'file'), /server 10\.0\.0\.11 iburst\nserver ntp\.example/);
  t.notMatch(on('os', 'w1', { os }).text('chrony-config', 'file'), /^allow/m);
  const server = on('os', 'cp1', { os }).text('chrony-config', 'file');
  t.match(server, /^allow$/m, 'the others ask it');
  t.notMatch(server, /10\.0\.0\.11/, 'and it not itself');
  t.same(
    ['swap', 'firewall', 'selinux', 'timezone', 'chrony'].map((id) => on('os', 'w1').runs(id)),
    [true, true, true, false, false],
  );
  const keep = { os: { swap: 'keep', firewall: 'keep', selinux: 'keep', set_hostname: false, hosts_file: false } };
  t.same(
    ['swap', 'firewall', 'selinux', 'hostname', 'hosts'].map((id) => on('os', 'w1', keep).runs(id)),
    [false, false, false, false, false],
  );
  t.end();
});

const components = (containerd: string): Vars => ({
  components: { containerd: { version: containerd }, runc: { version: 'v1.1.5' }, versions: { pause: '3.9' } },
});

t.test('containerd: its configuration is of its version, with what the plan says on top', (t) => {
  const config = (version: string, more: Vars = {}) =>
    on('containerd', 'w1', { ...components(version), ...more }).inputs<{ content: string }>('config', 'file').content;
  const old = config('v1.7.28', {
    cri: {
      data_root: '/data/containerd',
      containerd: { extra_config: { debug: { level: 'warn' }, state: null, version: 2 } },
    },
  });
  t.equal(
    old,
    `# Made by kk (role containerd). Settings of your own: cri.containerd.extra_config.
version = 2
root = "/data/containerd"

[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "registry.k8s.io/pause:3.9"

[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "overlayfs"
default_runtime_name = "runc"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
SystemdCgroup = true

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/opt/cni/bin"
conf_dir = "/etc/cni/net.d"

[plugins."io.containerd.grpc.v1.cri".registry]
config_path = "/etc/containerd/certs.d"

[plugins."io.containerd.internal.v1.opt"]
path = "/data/containerd/opt"

[grpc]
address = "/run/containerd/containerd.sock"
max_recv_message_size = 16777216
max_send_message_size = 16777216

[debug]
level = "warn"
`,
  );
  const two = config('v2.0.5', { kubernetes: { image_repository: 'reg.example/k8s', version: 'v1.34.2' } });
  t.match(two, '[plugins."io.containerd.cri.v1.images".pinned_images]\nsandbox = "reg.example/k8s/pause:3.9"\n');
  t.match(two, /^version = 3\n[\s\S]*cri\.v1\.runtime"\.cni\]\nbin_dir = "\/opt\/cni\/bin"\n/m);
  t.match(config('v2.1.0', { cri: { cgroup_driver: 'cgroupfs' } }), /^bin_dirs = \["\/opt\/cni\/bin"\]$/m);
  t.match(config('v2.1.0', { cri: { cgroup_driver: 'cgroupfs' } }), /^SystemdCgroup = false$/m);
  t.match(config('v1.6.20', { kubernetes: { version: 'v1.20.2' } }), '"k8s.gcr.io/pause:3.9"');
  t.match(config('v1.6.20', { kubernetes: { sandbox_image: 'x/y:1' } }), 'sandbox_image = "x/y:1"');
  t.end();
});

t.test('containerd: registries by their mirrors', (t) => {
  const hosts = (host: string, registry: Vars) =>
    on('containerd', 'w1', components('v1.7.28')).text('registries', 'file', [host, registry]);
  t.match(
    hosts('docker.io', { mirrors: ['http://10.0.0.1:5000', 'https://m.example'], ca_file: '/etc/ca.pem' }),
    `server = "https://registry-1.docker.io"

[host."http://10.0.0.1:5000"]
capabilities = ["pull", "resolve"]
ca = "/etc/ca.pem"

[host."https://m.example"]
capabilities = ["pull", "resolve"]
ca = "/etc/ca.pem"

[host."https://registry-1.docker.io"]
capabilities = ["pull", "resolve", "push"]
ca = "/etc/ca.pem"
`,
  );
  t.match(hosts('reg:5000', { plain_http: true }), 'server = "http://reg:5000"\n\n[host."http://reg:5000"]\n');
  t.match(hosts('reg:5000', { skip_verify: true }), 'skip_verify = true');
  t.end();
});

t.test('containerd: passwords of registries are in its own configuration, for root alone', (t) => {
  const registries = {
    'docker.io': { auth: { username: 'u', password_file: '/root/hub' } },
    'reg:5000': { auth: { username: 'v', password_file: '/root/reg' } },
    plain: { mirrors: ['https://m'] },
  };
  const made = (version: string) =>
    new RoleOn('containerd', {
      name: 'w1',
      machines: MACHINES,
      config: { ...components(version), cri: { registries } },
      secret: () => JSON.stringify({ 'docker.io': 'pa"ss', 'reg:5000': 'word' }),
    });
  const old = made('v1.7.28');
  t.same([old.runs('config'), old.runs('config-with-passwords')], [false, true]);
  t.same([on('containerd', 'w1').runs('config'), on('containerd', 'w1').runs('config-with-passwords')], [true, false]);
  const { content, mode } = old.inputs<{ content: string; mode: string }>('config-with-passwords', 'file');
  t.equal(mode, '0600');
  t.match(
    content,
    `[plugins."io.containerd.grpc.v1.cri".registry]
config_path = "/etc/containerd/certs.d"

[plugins."io.containerd.grpc.v1.cri".registry.configs."registry-1.docker.io".auth]
username = "u"
password = "pa\\"ss"

[plugins."io.containerd.grpc.v1.cri".registry.configs."reg:5000".auth]
username = "v"
password = "word"
`,
  );
  t.match(
    made('v2.1.0').inputs<{ content: string }>('config-with-passwords', 'file').content,
    '[plugins."io.containerd.cri.v1.images".registry.configs."reg:5000".auth]\n',
  );
  const download = on('download', 'w1', { cri: { registries } });
  t.same(download.inputs('registry-passwords', 'secret.make'), {
    name: 'registry_passwords',
    kind: 'files',
    files: { 'docker.io': '/root/hub', 'reg:5000': '/root/reg' },
    keep: 'run',
  });
  t.notOk(on('download', 'w1').runs('registry-passwords'));
  t.end();
});

t.test('containerd: what is there already', (t) => {
  const dir = t.testdir({ own: {}, usr: {} });
  const program = (path: string, version: string): void => {
    writeFileSync(path, `#!/bin/sh\necho 'containerd github.com/containerd/containerd ${version} abc'\n`);
    chmodSync(path, 0o755);
  };
  const script = 'controller/playbooks/roles/containerd/files/present.sh';
  const seen = (): string => execFileSync('sh', [script, join(dir, 'own')], { encoding: 'utf8' }).trim();
  program(join(dir, 'own/containerd'), '1.6.20~ds1');
  t.same(JSON.parse(seen()), { path: join(dir, 'own/containerd'), version: '1.6.20' }, 'as Debian writes it');
  const facts = (path: string, version: string) =>
    on('containerd', 'w1', components('v1.7.28'), {
      containerd_seen: JSON.stringify({ path, version }),
    }).inputs<Vars>('judge', 'set_fact');
  t.match(facts('', ''), { containerd_own: true, containerd_fits: true });
  t.match(facts('/usr/local/bin/containerd', '1.6.0'), { containerd_own: true, containerd_fits: true }, 'kk’s own');
  t.match(facts('/usr/bin/containerd', '1.7.28'), { containerd_own: false, containerd_fits: true });
  t.match(facts('/usr/bin/containerd', '1.6.0'), {
    containerd_fits: false,
    containerd_is: '/usr/bin/containerd 1.6.0',
  });
  t.end();
});

t.test('endpoint: every node knows all control planes, on the same port', (t) => {
  const text = on('endpoint', 'w2', { kubernetes: { apiserver: { port: 7443 } } }).text('config', 'file');
  t.match(text, 'bind 127.0.0.1:8443\n');
  t.match(text, /server cp1 10\.0\.0\.11:7443\n {4}server cp2 10\.0\.0\.12:7443\n/);
  t.match(text, /httpchk GET \/readyz/);
  const other = { kubernetes: { control_plane_endpoint: { port: 9000 } } };
  t.match(on('endpoint', 'w2', other).text('config', 'file'), 'bind 127.0.0.1:9000\n');
  for (const type of ['external', 'local'])
    t.notOk(on('endpoint', 'w2', { kubernetes: { control_plane_endpoint: { type } } }).runs('haproxy'), type);
  const own = on('endpoint', 'w2').text('service', 'systemd');
  t.match(own, /ExecStart=\/usr\/sbin\/haproxy -Ws -f \/etc\/kk-haproxy\/haproxy\.cfg\n/);
  t.match(own, /StartLimitIntervalSec=0\n[\s\S]*\[Service\][\s\S]*RestartSec=2\n/, 'it never gives up');
  for (const task of ['folder', 'config'])
    t.match(on('endpoint', 'w2').inputs(task, task === 'folder' ? 'directory' : 'file'), {
      path: /^\/etc\/kk-haproxy/,
    });
  t.equal(
    on('endpoint', 'w2').inputs<Vars>('service', 'systemd')['unit'],
    'kk-haproxy.service',
    'a haproxy of others stays',
  );
  const came = (exists: boolean) => on('endpoint', 'w2', {}, { endpoint_marked: { exists } }).runs('package-service');
  t.same([came(true), came(false)], [true, false], 'their service, too');
  const marks = (exists: boolean) => on('endpoint', 'w2', {}, { endpoint_program: { exists } }).runs('mark');
  t.same([marks(true), marks(false)], [false, true], 'known also when the node goes down after the package came');
  t.end();
});

const NETWORKS = [
  'cp1|10.1.0.0/24 fd00:0:0:1::/64|10.0.0.11 fd77::11',
  'w1|10.1.1.0/24 fd00:0:0:2::/64|10.0.0.21 fd77::21',
  'w10|10.1.2.0/24 fd00:0:0:3::/64|10.0.0.22 fd77::22',
].join('\n');
const DUAL = { cni: { pod_cidr: '10.1.0.0/16,fd00::/56' } };
const NIC = { interfaces: [{ name: 'eth0', mtu: 1450, addresses: ['10.0.0.21/24', 'fe80::1/64'] }] };

t.test('cni/bridge: each node has its own network, and ways to all others', (t) => {
  const role = on('cni/bridge', 'w1', DUAL, { pod_networks: NETWORKS }, NIC);
  t.match(JSON.parse(role.inputs<{ content: string }>('network', 'file').content).plugins[0], {
    mtu: 1450,
    ipam: {
      ranges: [[{ subnet: '10.1.1.0/24' }], [{ subnet: 'fd00:0:0:2::/64' }]],
      routes: [{ dst: '0.0.0.0/0' }, { dst: '::/0' }],
    },
  });
  t.ok(role.holds('known'));
  t.notOk(on('cni/bridge', 'w2', DUAL, { pod_networks: NETWORKS }, NIC).holds('known'), 'it has not joined');

  const dir = t.testdir({ bin: {} });
  const log = join(dir, 'log');
  const stub = (name: string, body: string): void => {
    writeFileSync(join(dir, 'bin', name), `#!/bin/sh\necho "${name} $*" >> ${log}\n${body}\n`);
    chmodSync(join(dir, 'bin', name), 0o755);
  };
  stub(
    'ip',
    'case "$*" in "-4 -o route show"*) echo "10.1.9.0/24 via 10.0.0.99 dev eth0"; echo "10.1.0.0/24 via x";; esac',
  );
  for (const name of ['iptables', 'ip6tables']) stub(name, 'case "$*" in *" -D "*) exit 1;; esac');
  const script = join(dir, 'routes');
  const calls = (text: string, mode: string): string[] => {
    writeFileSync(script, text);
    writeFileSync(log, '');
    execFileSync('sh', [script, mode], { env: { PATH: `${join(dir, 'bin')}:/usr/bin:/bin` } });
    return readFileSync(log, 'utf8').trim().split('\n');
  };
  const networks = { ...DUAL, networks: NETWORKS };
  const text = on('cni/bridge', 'w1', networks, { pod_networks: NETWORKS }, NIC).text('routes-script', 'file');
  const started = calls(text, 'start');
  t.same(
    started.filter((call) => call.includes('replace')),
    [
      'ip -4 route replace 10.1.0.0/24 via 10.0.0.11 proto 84',
      'ip -6 route replace fd00:0:0:1::/64 via fd77::11 proto 84',
      'ip -4 route replace 10.1.2.0/24 via 10.0.0.22 proto 84',
      'ip -6 route replace fd00:0:0:3::/64 via fd77::22 proto 84',
    ],
  );
  const gone = (all: string[]): string[] => all.filter((call) => call.includes('route del'));
  t.same(gone(started), ['ip -4 route del 10.1.9.0/24 proto 84'], 'the way to a node that left');
  const added = (all: string[]): string[] =>
    all.filter((call) => call.includes(' -A ')).map((call) => call.split(' ')[0] ?? '');
  t.same(added(started), ['iptables', 'ip6tables']);
  const stopped = calls(text, 'stop');
  t.equal(gone(stopped).length, 2, 'all of them');
  t.same(added(stopped), []);
  const hidden = { cni: { ...DUAL.cni, bridge: { masquerade: false } } };
  t.same(
    added(
      calls(on('cni/bridge', 'w1', hidden, { pod_networks: NETWORKS }, NIC).text('routes-script', 'file'), 'start'),
    ),
    [],
  );
  t.end();
});

t.test('cni/bridge: the networks are asked for until every node has one', (t) => {
  const dir = t.testdir();
  const kubectl = join(dir, 'kubectl');
  const script = 'controller/playbooks/roles/cni/bridge/files/pod-networks.sh';
  const asked = (body: string, seconds: string) => {
    writeFileSync(kubectl, `#!/bin/sh\n${body}\n`);
    chmodSync(kubectl, 0o755);
    return () => execFileSync('sh', [script, kubectl, '2', seconds], { encoding: 'utf8', stdio: 'pipe' });
  };
  const late = `n=$(cat ${dir}/n 2>/dev/null || echo 0); echo $((n+1)) > ${dir}/n
    [ "$n" -gt 0 ] || { echo "Unable to connect: EOF"; exit 1; }
    echo 'w1|10.1.1.0/24|10.0.0.21'; echo 'cp1|10.1.0.0/24|10.0.0.11'`;
  t.equal(asked(late, '60')(), 'cp1|10.1.0.0/24|10.0.0.11\nw1|10.1.1.0/24|10.0.0.21\n');
  t.throws(asked("echo 'cp1|10.1.0.0/24|10.0.0.11'; echo 'w1||10.0.0.21'", '0'), {
    message: /controller manager[\s\S]*w1\|\|/,
  });
  t.throws(asked("echo 'cp1|10.1.0.0/24|10.0.0.11'", '0'), { message: /Wanted: 2 nodes/ });
  t.end();
});

t.test('what nobody remembers goes by kk’s mark, and nothing without it', (t) => {
  const gone = (role: string, before: Record<string, string>): Record<string, string> => {
    const dir = t.testdir({ bin: {}, etc: { systemd: { system: {} }, containerd: { 'certs.d': { reg: {} } } } });
    writeFileSync(join(dir, 'bin/systemctl'), `#!/bin/sh\necho "$*" >>${dir}/calls\n`);
    chmodSync(join(dir, 'bin/systemctl'), 0o755);
    for (const [path, text] of Object.entries(before)) writeFileSync(join(dir, path), text);
    const script = readFileSync(`controller/playbooks/roles/delete/${role}/files/remove-leftovers.sh`, 'utf8');
    execFileSync('sh', ['-c', script.replaceAll('/etc/', `${dir}/etc/`), 'sh', join(dir, 'bin')], {
      env: { PATH: `${join(dir, 'bin')}:/usr/bin:/bin` },
    });
    const left = Object.keys(before).filter((path) => existsSync(join(dir, path)));
    return { left: left.join(' '), calls: readFileSync(join(dir, 'calls'), 'utf8') };
  };
  const units = 'etc/systemd/system';
  const containerd = gone('containerd', {
    [`${units}/containerd.service`]:
      '# containerd v1.7.28, runc v1.1. Made by kk (role containerd), after upstream’s.\n',
    'bin/ctr': '',
    'etc/containerd/config.toml': '# Made by kk (role containerd).\n',
    'etc/containerd/certs.d/reg/hosts.toml': '# Made by kk (role containerd): x\n',
    'etc/containerd/own.toml': 'mine\n',
  });
  t.equal(containerd['left'], 'etc/containerd/own.toml');
  const etcd = gone('etcd', {
    [`${units}/etcd.service`]: '# Written by kk.\n',
    [`${units}/kk-certs-renew.timer`]: '# Written by kk.\n',
    [`${units}/kk-certs-renew.service`]: '# Written by kk;\n',
  });
  t.equal(etcd['left'], '', 'a member that is no control plane has the timer of its certificates, too');
  t.match(etcd['calls'], 'disable --quiet --now kk-certs-renew.timer');
  t.equal(gone('endpoint', { [`${units}/haproxy.service`]: 'mine\n' })['left'], `${units}/haproxy.service`);
  t.end();
});
