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
      'cni}}: The flag network-plugin is gone: Kubernetes 1.23 was the last that knew it, and the version is v1.28.3.',
      '"NodeRestriction,PodSecurityPolicy"}}: The admission plugin PodSecurityPolicy is gone: Kubernetes 1.24 was the last that knew it, and the version is v1.28.3.',
      '["https://10.0.0.9:2379"], election_timeout: 1000}: etcd.endpoints is for mode endpoints, and the mode is external.',
      '1000}: The election timeout of 1000 ms is less than five heartbeats of 250 ms.',
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
  t.match(messages('etcd: {mode: internal}\nkubernetes: {version: v1.19.1}', groups(`{${planes}}`)), [
    /no clusters of Kubernetes v1.19.1/,
  ]);
});
