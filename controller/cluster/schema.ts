import { z } from 'zod';
import { Handle } from '../../shared/actions/fields.ts';
import type { Vars } from '../../shared/share.ts';
import { Etcd } from './etcd.ts';
import { AbsolutePath, Annotations, Labels, Taints } from './fields.ts';
import { Kubernetes } from './kubernetes.ts';
import { Cni, Cri, Delete, Dns, Download, Os } from './machine.ts';

/** The configuration of a cluster: `spec.config` of a plan whose playbook says `config: cluster`. Every field has a default. */
export const ClusterConfig = z.strictObject({
  // The kubeconfig is kept under this name.
  cluster_name: Handle.default('kubernetes'),
  zone: z.enum(['', 'cn']).default('').describe('cn: hosts to download from that are near to China'),
  bin_dir: AbsolutePath.default('/usr/local/bin').describe('where binaries go'),
  confirm: z.boolean().default(true).describe('ask before what destroys; --yes answers'),
  download: Download.prefault({}),
  os: Os.prefault({}),
  kubernetes: Kubernetes.prefault({}),
  etcd: Etcd.prefault({}),
  cri: Cri.prefault({}),
  cni: Cni.prefault({}),
  dns: Dns.prefault({}).describe("CoreDNS itself is kubeadm's, unless skip_phases has addon/coredns"),
  delete: Delete.prefault({}).describe('what delete-cluster takes away beside the cluster'),
  node_labels: Labels.default({}).describe('of single nodes: set it for a host or group'),
  node_annotations: Annotations.default({}).describe('of single nodes: set it for a host or group'),
  node_taints: Taints.default([]).describe('of single nodes: set it for a host or group'),
});
export type ClusterConfig = z.output<typeof ClusterConfig>;

/** Every setting with its default: variables that anything else overrides. */
export const CLUSTER_DEFAULTS: Readonly<Vars> = ClusterConfig.parse({}) as unknown as Vars;

/**
 * What is one thing for the whole cluster, so that a group or host cannot have its own. Paths of keys, joined by dots; what is
 * below them is meant, too.
 */
export const CLUSTER_WIDE = [
  'cluster_name',
  'zone',
  'confirm',
  'download',
  'kubernetes.version',
  'kubernetes.image_repository',
  'kubernetes.control_plane_endpoint',
  'kubernetes.apiserver',
  'kubernetes.controller_manager',
  'kubernetes.scheduler',
  'kubernetes.kubelet.max_pods',
  'kubernetes.kubelet.pod_pids_limit',
  'kubernetes.kubelet.container_log_max_size',
  'kubernetes.kubelet.container_log_max_files',
  'kubernetes.kubelet.extra_config',
  'kubernetes.kube_proxy',
  'kubernetes.feature_gates',
  'kubernetes.patches',
  'kubernetes.skip_phases',
  'kubernetes.audit',
  'kubernetes.security',
  'etcd.mode',
  'etcd.endpoints',
  'etcd.port',
  'etcd.peer_port',
  'etcd.cluster_token',
  'cri.type',
  'cri.cgroup_driver',
  'cni',
  'dns',
] as const;
