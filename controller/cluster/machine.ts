import { z } from 'zod';
import { AbsolutePath, DataFolder, Duration, Free, Host } from './fields.ts';

/** What is set up on every machine: files, the operating system, the container runtime, the network of pods. */

const ByArch = z.union([z.string(), z.record(z.string(), z.string())]);

export const Download = z.strictObject({
  mirror: z
    .union([z.string(), z.array(z.string().min(1))])
    .default('')
    .describe("http(s)://host/prefix before upstream's host and path of every component; or several, asked in turn"),
  timeout: Duration.default('10m').describe('of one file'),
  // Which there are is for components.yaml to say.
  arch: z.array(z.string().min(1)).min(1).default(['amd64']).describe('architectures that are fetched: amd64, arm64'),
  overrides: z
    .record(
      z.string(),
      z.strictObject({
        version: z.string().optional(),
        url: ByArch.optional(),
        path: ByArch.optional().describe("a file on the controller's machine"),
        sha256: ByArch.optional(),
      }),
    )
    .default({})
    .describe('by component'),
});

export const Os = z.strictObject({
  set_hostname: z.boolean().default(true).describe("to the node's name"),
  swap: z.enum(['off', 'keep']).default('off'),
  selinux: z.enum(['permissive', 'keep']).default('permissive'),
  firewall: z.enum(['off', 'keep']).default('off'),
  timezone: z.string().default('').describe('"": left alone'),
  ntp: z
    .strictObject({ enabled: z.boolean().default(false), servers: z.array(z.string().min(1)).default([]) })
    .prefault({}),
  packages: z
    .array(z.string().min(1))
    .default(['socat', 'conntrack', 'ebtables', 'ipset', 'ipvsadm', 'ethtool', 'iptables'])
    .describe('installed when missing'),
  hosts_file: z.boolean().default(true),
  modules: z
    .array(z.string().min(1))
    .default(['overlay', 'br_netfilter', 'ip_vs', 'ip_vs_rr', 'ip_vs_wrr', 'ip_vs_sh', 'nf_conntrack'])
    .describe('of the kernel'),
  sysctl: z
    .record(z.string(), z.union([z.string(), z.number(), z.null()]))
    .default({})
    .describe("over the role's list; null takes one out"),
  limits: z.boolean().default(true),
  ignore_missing_modules: z
    .boolean()
    .default(false)
    .describe('a module or sysctl that the kernel lacks is skipped and named'),
});

const Registry = z.strictObject({
  mirrors: z.array(z.string().min(1)).default([]).describe('URLs that are asked before the registry itself'),
  auth: z
    .strictObject({ username: z.string().min(1), password_file: AbsolutePath })
    .optional()
    .describe(
      "{username, password_file}: a file on the controller's machine, whose one line goes to the nodes as a secret",
    ),
  ca_file: z.string().default('').describe('a file on the nodes; "": the CAs of the machine'),
  skip_verify: z.boolean().default(false).describe('whatever certificate it has is taken'),
  plain_http: z.boolean().default(false),
});

export const Cri = z.strictObject({
  type: z.enum(['containerd']).default('containerd'),
  cgroup_driver: z.enum(['systemd', 'cgroupfs']).default('systemd'),
  socket: AbsolutePath.default('/run/containerd/containerd.sock'),
  data_root: DataFolder.default('/var/lib/containerd'),
  registries: z
    .record(z.string(), Registry)
    .default({})
    .describe(
      'by host, as docker.io: mirrors (URLs), auth ({username, password_file}, a file of the controller), ca_file (a file on the nodes), skip_verify, plain_http',
    ),
  containerd: z.strictObject({ extra_config: Free.default({}).describe('merged over config.toml') }).prefault({}),
});

export const Cni = z.strictObject({
  type: z.enum(['bridge', 'none']).default('bridge').describe('none: you bring your own'),
  pod_cidr: z.string().min(1).default('10.233.64.0/18').describe('IPv4 or IPv6, or both: "v4,v6"'),
  node_mask_size: z.int().min(8).max(30).default(24).describe('of the part of pod_cidr that each node gets'),
  node_mask_size_v6: z.int().min(48).max(124).default(64),
  service_cidr: z.string().min(1).default('10.233.0.0/18'),
  bin_dir: AbsolutePath.default('/opt/cni/bin'),
  conf_dir: AbsolutePath.default('/etc/cni/net.d'),
  bridge: z
    .strictObject({
      mtu: z.int().min(0).max(65_535).default(0).describe('0: that of the interface'),
      max_nodes: z.int().min(1).default(250).describe('routes to every other node are written on each'),
      masquerade: z.boolean().default(true).describe('pods reach the world as their node'),
    })
    .prefault({}),
});

export const Dns = z.strictObject({ domain: Host.default('cluster.local') });

export const Delete = z.strictObject({
  cri: z.boolean().default(false).describe('the container runtime, too'),
  etcd: z.boolean().default(true),
  data: z
    .boolean()
    .default(true)
    .describe('of etcd, and of the runtime that goes; volumes and logs of pods go in any case'),
  images: z.boolean().default(false),
});
