import { z } from 'zod';
import {
  Annotations,
  Bytes,
  DataFolder,
  Duration,
  ExtraArgs,
  Free,
  Host,
  Labels,
  Port,
  Taints,
  Timeout,
} from './fields.ts';

const ControlPlaneEndpoint = z.strictObject({
  type: z
    .enum(['haproxy', 'external', 'local'])
    .default('haproxy')
    .describe(
      'haproxy: a service on every node; external: a load balancer of yours; local: each node asks the API server of its own, workers that of the first control plane',
    ),
  domain: Host.default('lb.kubernetes.local').describe(
    'name in the certificates and kubeconfigs; every node resolves it',
  ),
  port: z.int().min(0).max(65535).default(0).describe('0: 8443 with haproxy, else that of the API server'),
  address: z.string().default('').describe('of type external: where it is'),
});

const Kubelet = z.strictObject({
  max_pods: z.int().min(1).max(10_000).default(110).describe('pods on a node'),
  pod_pids_limit: z.int().min(-1).default(10_000).describe('processes of a pod; -1: no limit'),
  container_log_max_size: Bytes.default('5Mi'),
  container_log_max_files: z.int().min(2).default(3),
  root_dir: DataFolder.default('/var/lib/kubelet').describe('volumes, logs and state of pods'),
  extra_args: ExtraArgs.default({}).describe('flags of the kubelet; they may differ from node to node'),
  extra_config: Free.default({}).describe('merged over KubeletConfiguration, which all nodes share'),
});

const KubeProxy = z.strictObject({
  mode: z
    .enum(['iptables', 'ipvs', 'nftables', 'none'])
    .default('ipvs')
    .describe('nftables from 1.31 on; none: no kube-proxy at all'),
  extra_config: Free.default({}).describe('merged over KubeProxyConfiguration'),
});

const Patch = z
  .strictObject({
    target: z
      .string()
      .regex(
        /^(?:etcd|kube-apiserver|kube-controller-manager|kube-scheduler|kubeletconfiguration|corednsdeployment)[a-z0-9-]*(?:\+(?:strategic|merge|json))?\.(?:json|yaml)$/,
        "kubeadm's file name: target, suffix, +type and .yaml, such as kube-apiserver0+merge.yaml",
      ),
    content: z.string().min(1).describe('the patch itself'),
  })
  .describe('a patch for what kubeadm makes');

const Audit = z.strictObject({
  enabled: z.boolean().default(false),
  policy: z.string().default('').describe('an audit policy in YAML; "": metadata of all requests but the noise'),
  max_age: z.int().min(0).default(30).describe('days'),
  max_backups: z.int().min(0).default(10),
  max_size: z.int().min(1).default(100).describe('MiB of one file'),
});

const Certs = z.strictObject({
  auto_renew: z.boolean().default(true).describe('a timer on every control plane'),
  renew_before: Duration.default('30d').describe('less is left of the earliest: renew'),
  schedule: z.string().min(1).default('*-*-* 03:00:00').describe('OnCalendar of systemd'),
  jitter: Duration.default('2h').describe('random delay of the timer'),
});

/** `kubernetes`: versions, the control plane, the kubelet, and what kubeadm makes of them. */
export const Kubernetes = z.strictObject({
  version: z
    .string()
    .regex(/^v\d+\.\d+\.\d+(?:-[0-9A-Za-z.-]+)?$/, 'a full version with its v, such as "v1.34.2"')
    .default('v1.34.2'),
  image_repository: z.string().default('').describe('of the control plane\'s images; "": kubeadm\'s own'),
  sandbox_image: z.string().default('').describe('"": pause of the version, in image_repository'),
  control_plane_endpoint: ControlPlaneEndpoint.prefault({}),
  apiserver: z
    .strictObject({
      port: Port.default(6443),
      cert_sans: z.array(z.string().min(1)).default([]).describe('more names and addresses in its certificate'),
      extra_args: ExtraArgs.default({}),
    })
    .prefault({}),
  controller_manager: z.strictObject({ extra_args: ExtraArgs.default({}) }).prefault({}),
  scheduler: z.strictObject({ extra_args: ExtraArgs.default({}) }).prefault({}),
  kubelet: Kubelet.prefault({}),
  kube_proxy: KubeProxy.prefault({}),
  feature_gates: z
    .record(z.string().regex(/^[A-Z][A-Za-z0-9]*$/, 'the name of a feature gate'), z.boolean())
    .default({})
    .describe('of all components'),
  patches: z.array(Patch).default([]).describe('from 1.22 on'),
  skip_phases: z.array(z.string().min(1)).default([]).describe('of kubeadm init, such as addon/coredns'),
  labels: Labels.default({}).describe('of every node'),
  annotations: Annotations.default({}).describe('of every node'),
  taints: Taints.default([]).describe('of every node'),
  audit: Audit.prefault({}),
  security: z
    .boolean()
    .default(false)
    .describe(
      'settings that the CIS benchmark asks for: TLS 1.2 and its ciphers, more admission plugins, no profiling, strict kubelets',
    ),
  ignore_preflight_errors: z.array(z.string().min(1)).default([]).describe("of kubeadm's preflight, such as NumCPU"),
  timeouts: z
    .strictObject({
      init: Timeout.default('5m').describe('until the first control plane answers'),
      join: Timeout.default('5m').describe('until a joining node has its certificate and is healthy'),
      ready: Timeout.default('10m').describe('until all nodes are Ready'),
    })
    .prefault({}),
  certs: Certs.prefault({}),
});
