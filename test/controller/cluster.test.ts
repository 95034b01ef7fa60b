import t from 'tap';
import { parse } from 'yaml';
import { CLUSTER_DEFAULTS, CLUSTER_WIDE, clusterDefaultsText, settingsOf } from '../../controller/cluster/index.ts';
import { type Plan, parsePlan, planJsonSchema } from '../../controller/plan/index.ts';

const HOSTS = `
  hosts:
    cp1: {address: 10.0.0.11}
    cp2: {address: 10.0.0.12}
    cp3: {address: 10.0.0.13}
    w1: {address: 10.0.0.21}`;
const GROUPS = `
  groups:
    etcd: [cp1, cp2, cp3]
    control_plane: [cp1, cp2, cp3]
    worker: [w1]`;

function parsed(config: string, inventory = `${HOSTS}${GROUPS}`, playbook = 'config: cluster') {
  const text = `apiVersion: kk.dev/v1
kind: Plan
metadata: {name: lab}
spec:
  playbooks:
    - name: make
      ${playbook}
      plays:
        - {name: make, hosts: all, roles: [own]}
  inventory: ${inventory.trim().replaceAll('\n', '\n  ').replace(/^/, '\n    ')}
  config:
${config.trimEnd().replaceAll(/^/gm, '    ')}
`;
  const texts = {
    'plan.yaml': text,
    'roles/own/tasks.yaml': '- debug: "{{ kubernetes.kubelet.max_pods }} {{ etcd.mode }} {{ mine }}"',
    'roles/own/defaults.yaml': 'mine: 1\n',
  };
  return { result: parsePlan({ plan: 'plan.yaml', texts }), text };
}

/** What is wrong, as `the line: message`. */
function complaints(config: string, inventory?: string): string[] {
  const { result, text } = parsed(config, inventory);
  if (!('problems' in result)) return [];
  const lines = text.split('\n');
  return result.problems.map(({ position, message }) => {
    const { line, column } = position ?? { line: 0, column: 0 };
    return `${lines[line - 1]?.slice(column - 1).trim()}: ${message}`;
  });
}

t.test('every setting has a default, which a group and a host can change', async (t) => {
  t.strictSame(parse(clusterDefaultsText()), CLUSTER_DEFAULTS, 'what is printed is what holds');
  const { result } = parsed(
    'mine: 2\ndownload: {mirror: ["http://a", "http://b"]}\nkubernetes: {version: v1.20.2}',
    `${HOSTS.replace('w1: {address: 10.0.0.21}', 'w1: {address: 10.0.0.21, vars: {node_labels: {disk: ssd}}}')}${GROUPS}`,
  );
  if ('problems' in result) throw new Error(JSON.stringify(result.problems));
  const plan: Plan = result.plan;
  t.match(plan.inventory.vars, { kubernetes: { version: 'v1.34.2', kubelet: { max_pods: 110 } } });
  t.strictSame(plan.inventory.nodes.at(-1)?.vars, { node_labels: { disk: 'ssd' } });
  t.strictSame(
    Object.hasOwn(parsed('x: 1', undefined, '').result, 'plan'),
    false,
    'without config: cluster there are no such variables',
  );
  const paths = new Set(settingsOf().map(({ path }) => path));
  t.strictSame(
    CLUSTER_WIDE.filter((path) => !paths.has(path)),
    [],
    'all of them are settings',
  );
  t.match(planJsonSchema(), { $defs: { cluster: { properties: { etcd: { properties: { mode: {} } } } } } });
});

t.test('a setting that is not there, of a wrong kind, or another on one node, is told where it stands', async (t) => {
  t.strictSame(
    complaints(`kubernets: {}
etcd: {heartbeat: 5, mode: stacked}
kubernetes:
  version: 1.34.2
  kubelet: {max_pods: many}
  certs: {renew_before: a month}
  apiserver: {extra_args: {--v: 2}}
os: {swap: true}`),
    [
      'kubernets: {}: A cluster has no setting "kubernets".',
      'heartbeat: 5, mode: stacked}: etcd has no key "heartbeat".',
      'stacked}: mode must be "external" or "internal" or "endpoints", not "stacked".',
      '1.34.2: version cannot be "1.34.2": a full version with its v, such as "v1.34.2".',
      'many}: max_pods must be a number, not "many".',
      'a month}: renew_before cannot be "a month": a whole number with its unit, such as "30s", "10m", "2h", "30d".',
      '--v: 2}}: "--v" is no valid name in extra_args.',
      'true}: swap must be "off" or "keep", not true.',
    ],
  );
  t.strictSame(
    complaints(
      'mine: 1',
      `${HOSTS.replace('w1: {address: 10.0.0.21}', 'w1: {address: 10.0.0.21, vars: {cni: {pod_cidr: 10.1.0.0/16}, download: {arch: [arm64]}, cri: {data_root: x}}}')}${GROUPS}`,
    ),
    [
      'cni: {pod_cidr: 10.1.0.0/16}, download: {arch: [arm64]}, cri: {data_root: x}}}: cni is one for the whole cluster, and w1 has its own.',
      'download: {arch: [arm64]}, cri: {data_root: x}}}: download is one for the whole cluster, and w1 has its own.',
      'x}}}: data_root cannot be "x": an absolute path.',
    ],
  );
});

t.test('settings that contradict each other, the version or the inventory are told, all at once', async (t) => {
  t.strictSame(
    complaints(`kubernetes:
  version: v1.28.3
  control_plane_endpoint: {type: haproxy, port: 6443}
  certs: {renew_before: 365d}
  kube_proxy: {mode: nftables}
  feature_gates: {TTLAfterFinished: true, RotateKubeletServerCertificate: true}
  kubelet: {max_pods: 300, extra_args: {network-plugin: cni}}
  apiserver: {extra_args: {enable-admission-plugins: "NodeRestriction,PodSecurityPolicy"}}
etcd: {endpoints: ["https://10.0.0.9:2379"], election_timeout: 1000}
cni: {pod_cidr: 10.0.0.0/23, service_cidr: "fd00::/112,10.1.0.0/16"}`),
    [
      '6443}: haproxy cannot have port 6443: on control planes it is that of the API server.',
      '365d}: Certificates of kubeadm live a year: 365d before their end they would be renewed, and the control plane restarted, day after day.',
      'nftables}: The mode nftables came with Kubernetes 1.31, and the version is v1.28.3.',
      'true, RotateKubeletServerCertificate: true}: The feature gate TTLAfterFinished is gone: Kubernetes 1.24 was the last that knew it, and the version is v1.28.3.',
      '300, extra_args: {network-plugin: cni}}: A node has 254 addresses for pods (/24), and max_pods is 300.',
      'cni}}: The flag network-plugin is gone: Kubernetes 1.23 was the last that knew it, and the version is v1.28.3.',
      '"NodeRestriction,PodSecurityPolicy"}}: The admission plugin PodSecurityPolicy is gone: Kubernetes 1.24 was the last that knew it, and the version is v1.28.3.',
      '["https://10.0.0.9:2379"], election_timeout: 1000}: etcd.endpoints is for mode endpoints, and the mode is external.',
      '1000}: The election timeout of 1000 ms is less than five heartbeats of 250 ms.',
      '10.0.0.0/23, service_cidr: "fd00::/112,10.1.0.0/16"}: 10.0.0.0/23 has 2 parts of /24, and there are 4 nodes.',
      '"fd00::/112,10.1.0.0/16"}: fd00::/112,10.1.0.0/16 is not one IPv4 and one IPv6 network, in this order.',
    ],
  );
  t.strictSame(
    complaints(`cni: {pod_cidr: 10.0.0.0/23, service_cidr: 10.0.0.0/11, bridge: {max_nodes: 3}}
kubernetes: {kubelet: {max_pods: 255}, control_plane_endpoint: {type: external}}`),
    [
      '{pod_cidr: 10.0.0.0/23, service_cidr: 10.0.0.0/11, bridge: {max_nodes: 3}}: The bridge network writes a route to every node on every other, at most 3, and there are 4 nodes.',
      '10.0.0.0/23, service_cidr: 10.0.0.0/11, bridge: {max_nodes: 3}}: 10.0.0.0/23 and 10.0.0.0/11 overlap.',
      '10.0.0.0/23, service_cidr: 10.0.0.0/11, bridge: {max_nodes: 3}}: 10.0.0.0/23 has 2 parts of /24, and there are 4 nodes.',
      '10.0.0.0/23, service_cidr: 10.0.0.0/11, bridge: {max_nodes: 3}}: cp1 (10.0.0.11) is in 10.0.0.0/23.',
      '10.0.0.0/11, bridge: {max_nodes: 3}}: 10.0.0.0/11 is more than kube-apiserver takes for Services: /12 is the largest.',
      '10.0.0.0/11, bridge: {max_nodes: 3}}: cp1 (10.0.0.11) is in 10.0.0.0/11.',
      '255}, control_plane_endpoint: {type: external}}: A node has 254 addresses for pods (/24), and max_pods is 255.',
      'external}}: The external endpoint has no address.',
    ],
  );
});

t.test('what is of a wrong kind hides no contradiction but those it takes part in', async (t) => {
  t.strictSame(
    complaints(`mien: 1
kubernetes:
  version: 1.28
  control_plane_endpoint: {type: haproxy, port: 6443, address: 5}
  certs: {renew_before: 365d}
  kube_proxy: {mode: nftables}
  feature_gates: {TTLAfterFinished: 1}
  kubelet: {max_pods: 300}
etcd: {mode: internal, peer_port: 2379, election_timeout: 1000, heartbeat_interval: fast}
cni: {typ: none, bridge: {max_nodes: 3}}`).filter((line) => !/ must be | cannot be "|lacks|has no /.test(line)),
    [
      '6443, address: 5}: haproxy cannot have port 6443: on control planes it is that of the API server.',
      '365d}: Certificates of kubeadm live a year: 365d before their end they would be renewed, and the control plane restarted, day after day.',
      '300}: A node has 254 addresses for pods (/24), and max_pods is 300.',
      '{mode: internal, peer_port: 2379, election_timeout: 1000, heartbeat_interval: fast}: etcd has one port twice: 2379, 2379, 2381.',
      '2379, election_timeout: 1000, heartbeat_interval: fast}: etcd.peer_port is for a service of its own, and with mode internal etcd is a static pod of kubeadm.',
    ],
    'not what would need the version, the heartbeat, the address or the type of the network',
  );
  t.strictSame(
    complaints(
      'etcd: {mode: internal}\nkubernetes: {version: v1.34}',
      `${HOSTS.replace('{address: 10.0.0.12}', '{adress: x}')}\n  groups: {worker: [w1]}`,
    ).filter((line) => /control_plane|etcd/.test(line)),
    [],
    'an inventory that is not sound contradicts nothing',
  );
});

t.test('a command about a cluster takes the plan that made it, with the settings of all its roles', async (t) => {
  const asked = (playbooks: string, config: string, named: readonly string[] = ['delete-cluster']) => {
    const text = `apiVersion: kk.dev/v1
kind: Plan
metadata: {name: lab}
spec:
  inventory: {hosts: {cp1: {address: 10.0.0.11}}, groups: {control_plane: [cp1], etcd: [cp1]}}
  playbooks: ${playbooks}
  config: ${config}
`;
    const play = '- {name: p, hosts: all, tasks: [{debug: x}]}';
    const texts = {
      'plan.yaml': text,
      'kk:delete-cluster.yaml': `config: cluster\nplays:\n  ${play}\n`,
      'kk:create-cluster.yaml': 'config: cluster\nplays: [{name: c, hosts: all, roles: [not-loaded]}]\n',
      'kk:precheck.yaml': play,
    };
    const result = parsePlan({ plan: 'plan.yaml', texts, playbooks: named });
    return 'problems' in result
      ? result.problems.map(({ code, position, message }) => `${position?.line}:${position?.column} ${code} ${message}`)
      : [];
  };
  t.strictSame(
    asked('[create-cluster]', '{verify: {seconds: 1}, os_sysctl: {}, etcd: {backup: {enabled: false}}}'),
    [],
  );
  t.match(asked('[create-cluster]', '{delet: {}, verify: {}}'), [/^7:12 PLAN_UNKNOWN_KEY .*"delet"/], 'a slip is told');
  t.match(asked('[create-cluster]', '{etcd: {mod: x}}'), [/PLAN_UNKNOWN_KEY etcd has no key "mod"/]);
  const [only, ...others] = asked('[precheck]', '{precheck: {}, mine: 1}');
  t.match(only, /^6:3 PLAN_NO_CLUSTER This plan makes no cluster, and delete-cluster is about one/);
  t.strictSame(others, []);
  t.match(asked('[{name: own, plays: [{name: m, hosts: all, tasks: [{debug: x}]}]}]', '{}'), [/PLAN_NO_CLUSTER/]);
  t.strictSame(asked('[{name: own, config: cluster, plays: [{name: m, hosts: all, tasks: [{debug: x}]}]}]', '{}'), []);
  t.strictSame(asked('[elsewhere]', '{mine: 1}'), [], 'what cannot be read is not known to make none');
  t.strictSame(asked('[precheck]', '{mine: 1}', ['precheck']), []);
});

t.test('a password for a registry is never in the plan', async (t) => {
  const auth = (text: string) => complaints(`cri: {registries: {reg.example:5000: {auth: ${text}}}}`);
  t.strictSame(auth('{username: u, password_file: /root/reg}'), []);
  t.match(auth('{username: u, password: secret}'), [/auth lacks "password_file"/, /auth has no key "password"/]);
  t.match(auth('{username: u, password_file: reg}'), [/an absolute path/]);
});

t.test("folders that are emptied with the cluster are the cluster's own", async (t) => {
  for (const path of ['/', '/var', '/var/lib', '/home', '/usr/share', '/var/log/x', '/data/../etc', '/data/'])
    t.match(complaints(`etcd: {data_dir: ${path}}`), [/data_dir cannot be/], path);
  for (const path of ['/data', '/data/etcd', '/var/lib/etcd2', '/opt/etcd', '/mnt/disk/etcd'])
    t.strictSame(complaints(`etcd: {data_dir: ${path}}`), [], path);
  t.match(complaints('kubernetes: {kubelet: {root_dir: /data}}\ncri: {data_root: /data/containerd}'), [
    /kubernetes\.kubelet\.root_dir \(\/data\) and cri\.data_root \(\/data\/containerd\) are one in the other\./,
  ]);
});

t.test('groups and etcd go together', async (t) => {
  const groups = (text: string): string => `${HOSTS}\n  groups: ${text}`;
  const messages = (config: string, inventory: string): string[] =>
    complaints(config, inventory).map((text) => text.replace(/^.*?: (?=[A-Zek].*\.$)/, ''));
  const planes = 'control_plane: [cp1, cp2, cp3], worker: [w1]';
  t.match(messages('mine: 1', groups('{etcd: [cp1], worker: [w1]}')), [/control_plane is empty/]);
  t.match(messages('mine: 1', groups(`{${planes}}`)), [/The group etcd is empty/]);
  t.match(messages('mine: 1', groups(`{etcd: [cp1, cp2], ${planes}}`)), [/would have 2 members/]);
  t.match(messages('etcd: {mode: internal}', groups(`{etcd: [w1], ${planes}}`)), [/the group etcd is another one: w1/]);
  t.strictSame(messages('etcd: {mode: internal}', groups(`{${planes}}`)), []);
  t.match(messages('etcd: {mode: internal, port: 4001}', groups(`{${planes}}`)), [
    /etcd.port is for a service of its own/,
  ]);
  t.match(messages('etcd: {mode: endpoints}', groups(`{${planes}}`)), [/is endpoints, and there are none/]);
  t.match(messages('etcd: {mode: endpoints, endpoints: ["https://e:2379"]}', groups(`{${planes}}`)), [
    /ca_file, etcd.cert_file, etcd.key_file is not/,
  ]);
  const dual =
    'cni: {pod_cidr: "10.1.0.0/16,fd01::/48", service_cidr: "10.2.0.0/16,fd02::/112"}\netcd: {mode: internal}';
  t.strictSame(messages(dual, groups(`{${planes}}`)), []);
  const old = `${dual}\nkubernetes: {version: v1.19.1, kube_proxy: {mode: nftables}}`;
  const told = messages(old, groups(`{${planes}}`));
  t.match(told, [/no clusters of Kubernetes v1.19.1/]);
  t.equal(told.length, 1, 'once, and what else is too new for it is not told');
});
