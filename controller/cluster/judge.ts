import { seconds } from '../../shared/duration.ts';
import { type ClusterNode, type Contradiction, contradiction } from './contradiction.ts';
import { judgeNetworks, judgePodNetworks } from './judge-networks.ts';
import { versionRules } from './judge-versions.ts';
import { ClusterConfig } from './schema.ts';
import { judgedBy, known, type Path, withUnknown } from './unknown.ts';

/** What kubeadm decides by itself for the members that it makes. */
const ETCD_OF_UNIT = ['port', 'peer_port', 'metrics_port', 'cluster_token', 'extra_env'] as const;
/** New certificates of kubeadm have 365 days left. */
const MOST_DAYS_LEFT = 300;
const USUAL = ClusterConfig.parse({}).etcd;

/** The port on which every node reaches the API, whichever control plane answers. */
export function endpointPort({ control_plane_endpoint: endpoint, apiserver }: ClusterConfig['kubernetes']): number {
  return endpoint.port || (endpoint.type === 'haproxy' ? 8443 : apiserver.port);
}

/**
 * Settings that are well written and contradict each other, the version, or the inventory. Pure. `nodes` are those of the
 * inventory in its order, undefined where it is not known; only those in etcd, control_plane and worker are part of the cluster.
 * What would need a setting of `unknown` is not judged.
 */
export function judgeCluster(
  settings: ClusterConfig,
  nodes: readonly ClusterNode[] | undefined,
  unknown: readonly Path[] = [],
): Contradiction[] {
  const config = withUnknown(settings, unknown);
  const inGroups = (...names: string[]): ClusterNode[] =>
    known(nodes).filter(({ groups }) => names.some((name) => groups.includes(name)));
  const members = (): ClusterNode[] => inGroups('control_plane', 'worker');
  return judgedBy([
    () => judgeControlPlanes(inGroups('control_plane')),
    () => judgeMembers(config, inGroups('etcd'), inGroups('control_plane')),
    ...versionRules(config),
    () => judgeEndpointPort(config),
    () => judgeEndpointAddress(config),
    () => judgeCerts(config),
    () => judgeEtcdEndpoints(config),
    () => judgeEtcdUnit(config),
    () => judgeEtcdTimes(config),
    () => judgeEtcdPorts(config),
    () => judgeFolders(config),
    () => judgeNetworks(config, members()),
    () => judgePodNetworks(config, members()),
    () => judgeBridge(config, members()),
  ]);
}

function judgeControlPlanes(planes: readonly ClusterNode[]): Contradiction[] {
  if (planes.length > 0) return [];
  const message = 'The group control_plane is empty: a cluster has at least one control plane.';
  return [contradiction('', message, 'Put hosts into the group control_plane of the inventory.')];
}

function judgeMembers(
  { etcd }: ClusterConfig,
  members: readonly ClusterNode[],
  planes: readonly ClusterNode[],
): Contradiction[] {
  const found: Contradiction[] = [];
  if (etcd.mode === 'external' && members.length === 0) {
    const message = 'The group etcd is empty, and etcd.mode is external.';
    found.push(contradiction('etcd.mode', message, 'Put hosts into the group etcd, or write mode: internal.'));
  }
  const apart = members.find((node) => !planes.includes(node)) ?? planes.find((node) => !members.includes(node));
  if (etcd.mode === 'internal' && members.length > 0 && apart) {
    const message = `With etcd.mode internal etcd is on the control planes, and the group etcd is another one: ${apart.name} is only in one of them.`;
    found.push(contradiction('etcd.mode', message, 'Remove the group etcd, or write mode: external.'));
  }
  if (etcd.mode === 'endpoints' && members.length > 0) {
    const message = 'With etcd.mode endpoints etcd is there already, and the group etcd has hosts.';
    found.push(contradiction('etcd.mode', message, 'Empty the group etcd, or write mode: external.'));
  }
  const voters = etcd.mode === 'external' ? members.length : etcd.mode === 'internal' ? planes.length : 1;
  if (voters > 0 && voters % 2 === 0) {
    const message = `etcd would have ${voters} members, which survive the loss of no more than ${voters - 1} do.`;
    found.push(contradiction('etcd.mode', message, `Make it ${voters - 1} or ${voters + 1}.`));
  }
  return found;
}

function judgeCerts({ kubernetes: { certs } }: ClusterConfig): Contradiction[] {
  const days = seconds(certs.renew_before) / 86_400;
  if (days <= MOST_DAYS_LEFT) return [];
  const message = `Certificates of kubeadm live a year: ${certs.renew_before} before their end they would be renewed, and the control plane restarted, day after day.`;
  return [contradiction('kubernetes.certs.renew_before', message, `Write at most ${MOST_DAYS_LEFT}d; 30d is usual.`)];
}

function judgeEndpointPort({ kubernetes }: ClusterConfig): Contradiction[] {
  const { control_plane_endpoint: endpoint, apiserver } = kubernetes;
  const found: Contradiction[] = [];
  const at = 'kubernetes.control_plane_endpoint';
  const port = endpointPort(kubernetes);
  if (endpoint.type === 'haproxy' && (port === 6443 || port === apiserver.port)) {
    const message = `haproxy cannot have port ${port}: on control planes it is that of the API server.`;
    found.push(contradiction(`${at}.port`, message, 'Write another port, or 0 for 8443.'));
  }
  if (endpoint.type === 'local' && endpoint.port !== 0 && endpoint.port !== apiserver.port) {
    const message = `With type local nodes ask the API server itself, on port ${apiserver.port} and not ${endpoint.port}.`;
    found.push(contradiction(`${at}.port`, message, `Write ${apiserver.port}, or leave it out.`));
  }
  return found;
}

function judgeEndpointAddress({ kubernetes: { control_plane_endpoint: endpoint } }: ClusterConfig): Contradiction[] {
  const found: Contradiction[] = [];
  const at = 'kubernetes.control_plane_endpoint';
  if (endpoint.type === 'external' && endpoint.address === '') {
    found.push(
      contradiction(`${at}.type`, 'The external endpoint has no address.', 'Write the address of your load balancer.'),
    );
  }
  if (endpoint.type !== 'external' && endpoint.address !== '') {
    const message = `An address is for the type external, and the type is ${endpoint.type}.`;
    found.push(contradiction(`${at}.address`, message, 'Remove it, or write type: external.'));
  }
  return found;
}

function judgeEtcdEndpoints({ etcd }: ClusterConfig): Contradiction[] {
  const found: Contradiction[] = [];
  const files = ['ca_file', 'cert_file', 'key_file'] as const;
  if (etcd.mode === 'endpoints') {
    const missing = files.filter((file) => etcd[file] === '');
    if (etcd.endpoints.length === 0) {
      found.push(
        contradiction('etcd.mode', 'etcd.mode is endpoints, and there are none.', 'List them under etcd.endpoints.'),
      );
    } else if (etcd.endpoints.some((url) => url.startsWith('https:')) && missing.length > 0) {
      const message = `The endpoints are reached over TLS, and etcd.${missing.join(', etcd.')} is not given.`;
      found.push(contradiction('etcd.endpoints', message, 'Give all three files.'));
    }
  } else {
    const stated = etcd.endpoints.length > 0 ? 'endpoints' : files.find((file) => etcd[file] !== '');
    if (stated) {
      const message = `etcd.${stated} is for mode endpoints, and the mode is ${etcd.mode}.`;
      found.push(contradiction(`etcd.${stated}`, message, 'Remove it, or write mode: endpoints.'));
    }
  }
  return found;
}

function judgeEtcdUnit({ etcd }: ClusterConfig): Contradiction[] {
  if (etcd.mode !== 'internal') return [];
  const ofUnit = ETCD_OF_UNIT.find((key) => JSON.stringify(etcd[key]) !== JSON.stringify(USUAL[key]));
  if (ofUnit === undefined) return [];
  const message = `etcd.${ofUnit} is for a service of its own, and with mode internal etcd is a static pod of kubeadm.`;
  return [contradiction(`etcd.${ofUnit}`, message, 'Remove it, or write mode: external.')];
}

/** etcd refuses to start otherwise. */
function judgeEtcdTimes({ etcd }: ClusterConfig): Contradiction[] {
  if (etcd.election_timeout >= 5 * etcd.heartbeat_interval) return [];
  const message = `The election timeout of ${etcd.election_timeout} ms is less than five heartbeats of ${etcd.heartbeat_interval} ms.`;
  return [contradiction('etcd.election_timeout', message, `Write at least ${5 * etcd.heartbeat_interval}.`)];
}

function judgeEtcdPorts({ etcd }: ClusterConfig): Contradiction[] {
  const ports = [etcd.port, etcd.peer_port, etcd.metrics_port];
  if (new Set(ports).size === ports.length) return [];
  const message = `etcd has one port twice: ${ports.join(', ')}.`;
  return [contradiction('etcd.port', message, 'Give clients, peers and metrics a port each.')];
}

/** What one program keeps would be deleted with another's. */
function judgeFolders({ kubernetes, etcd, cri }: ClusterConfig): Contradiction[] {
  const folders = [
    ['kubernetes.kubelet.root_dir', kubernetes.kubelet.root_dir],
    ['etcd.data_dir', etcd.data_dir],
    ['etcd.backup.dir', etcd.backup.dir],
    ['cri.data_root', cri.data_root],
  ] as const;
  return folders.flatMap(([at, path], index) =>
    folders.slice(index + 1).flatMap(([other, second]) => {
      if (!`${path}/`.startsWith(`${second}/`) && !`${second}/`.startsWith(`${path}/`)) return [];
      const message = `${at} (${path}) and ${other} (${second}) are one in the other.`;
      return [contradiction(at, message, 'Give each a folder of its own.')];
    }),
  );
}

function judgeBridge({ cni }: ClusterConfig, members: readonly ClusterNode[]): Contradiction[] {
  if (cni.type !== 'bridge' || members.length <= cni.bridge.max_nodes) return [];
  const message = `The bridge network writes a route to every node on every other, at most ${cni.bridge.max_nodes}, and there are ${members.length} nodes.`;
  return [
    contradiction('cni.type', message, 'Write type: none and bring another network, or raise cni.bridge.max_nodes.'),
  ];
}
