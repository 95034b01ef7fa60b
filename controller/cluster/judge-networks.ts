import ipaddr from 'ipaddr.js';
import { type ClusterNode, type Contradiction, contradiction } from './contradiction.ts';
import type { ClusterConfig } from './schema.ts';

interface Network {
  /** The setting it comes from. */
  path: 'cni.pod_cidr' | 'cni.service_cidr';
  text: string;
  address: ipaddr.IPv4 | ipaddr.IPv6;
  prefix: number;
  family: 'ipv4' | 'ipv6';
}

/** Bits that kube-apiserver takes for Services, and that the allocator of node CIDRs can number. */
const SERVICE_BITS = 20;
const NODE_BITS = 16;

/** Are the networks of pods, Services and nodes ones that go together? */
export function judgeNetworks(config: ClusterConfig, nodes: readonly ClusterNode[]): Contradiction[] {
  const { cni } = config;
  const found: Contradiction[] = [];
  const pods = networksOf('cni.pod_cidr', cni.pod_cidr, found);
  const services = networksOf('cni.service_cidr', cni.service_cidr, found);
  if (found.length > 0) return found;
  if (pods[0]?.family !== services[0]?.family || (services.length === 2 && pods.length === 1)) {
    const message = `Services have ${families(services)} and pods ${families(pods)}.`;
    found.push(contradiction('cni.service_cidr', message, 'Give both of the same families, in the same order.'));
  }
  for (const network of services) {
    const bits = (network.family === 'ipv4' ? 32 : 128) - network.prefix;
    if (bits <= SERVICE_BITS) continue;
    const most = network.family === 'ipv4' ? '/12' : '/108';
    const message = `${network.text} is more than kube-apiserver takes for Services: ${most} is the largest.`;
    found.push(contradiction('cni.service_cidr', message, `Write a network of at most ${most}.`));
  }
  return [...found, ...overlaps([...pods, ...services], nodes)];
}

/** Is there a part of the pods' networks for every node, and is it large enough? */
export function judgePodNetworks(config: ClusterConfig, nodes: readonly ClusterNode[]): Contradiction[] {
  const wrong: Contradiction[] = [];
  const pods = networksOf('cni.pod_cidr', config.cni.pod_cidr, wrong);
  return wrong.length > 0 ? [] : pods.flatMap((network) => judgePods(network, config, nodes));
}

function networksOf(path: Network['path'], text: string, found: Contradiction[]): Network[] {
  const networks = text.split(',').flatMap((part): Network[] => {
    const written = part.trim();
    if (!ipaddr.isValidCIDR(written)) {
      const message = `${JSON.stringify(written)} is no network.`;
      found.push(
        contradiction(path, message, 'Write an address and a prefix, such as 10.233.64.0/18; two with a comma.'),
      );
      return [];
    }
    const [address, prefix] = ipaddr.parseCIDR(written);
    return [{ path, text: written, address, prefix, family: address.kind() }];
  });
  const [first, second] = networks;
  if (networks.length > 2 || (second && (first?.family !== 'ipv4' || second.family !== 'ipv6'))) {
    found.push(contradiction(path, `${text} is not one IPv4 and one IPv6 network, in this order.`, 'Write "v4,v6".'));
  }
  return networks;
}

function families(networks: readonly Network[]): string {
  return networks.map(({ family }) => (family === 'ipv4' ? 'IPv4' : 'IPv6')).join(' and ');
}

/** Each node gets a part of the network: are there enough of them, and are they large enough? */
function judgePods(
  { text, family, prefix }: Network,
  config: ClusterConfig,
  nodes: readonly ClusterNode[],
): Contradiction[] {
  const isV4 = family === 'ipv4';
  const mask = isV4 ? config.cni.node_mask_size : config.cni.node_mask_size_v6;
  const key = isV4 ? 'cni.node_mask_size' : 'cni.node_mask_size_v6';
  if (mask <= prefix && !(mask === prefix && nodes.length <= 1)) {
    const message = `A /${mask} for each of ${nodes.length} nodes does not fit into ${text}.`;
    return [contradiction('cni.pod_cidr', message, `Give a larger network, or a ${key.slice(4)} above ${prefix}.`)];
  }
  const found: Contradiction[] = [];
  const parts = 2 ** Math.min(mask - prefix, 30);
  if (parts < nodes.length) {
    const message = `${text} has ${parts} parts of /${mask}, and there are ${nodes.length} nodes.`;
    found.push(
      contradiction(
        'cni.pod_cidr',
        message,
        `Give a network of /${mask - Math.ceil(Math.log2(nodes.length))} or larger.`,
      ),
    );
  }
  if (mask - prefix > NODE_BITS) {
    const message = `/${mask} in ${text}: Kubernetes can number ${NODE_BITS} bits of nodes.`;
    found.push(contradiction(key, message, `Write at most ${prefix + NODE_BITS}.`));
  }
  const addresses = isV4 ? 2 ** (32 - mask) - 2 : 2 ** Math.min(128 - mask, 30);
  if (config.kubernetes.kubelet.max_pods > addresses) {
    const message = `A node has ${addresses} addresses for pods (/${mask}), and max_pods is ${config.kubernetes.kubelet.max_pods}.`;
    found.push(
      contradiction(
        'kubernetes.kubelet.max_pods',
        message,
        `Write at most ${addresses}, or a smaller ${key.slice(4)}.`,
      ),
    );
  }
  return found;
}

function overlaps(networks: readonly Network[], nodes: readonly ClusterNode[]): Contradiction[] {
  const found: Contradiction[] = [];
  for (const [index, a] of networks.entries()) {
    for (const b of networks.slice(index + 1)) {
      if (!within(a, b.address) && !within(b, a.address)) continue;
      found.push(
        contradiction(a.path, `${a.text} and ${b.text} overlap.`, 'Give pods and Services networks of their own.'),
      );
    }
    const inside = nodes.find(({ address }) => ipaddr.isValid(address) && within(a, ipaddr.parse(address)));
    if (!inside) continue;
    const message = `${inside.name} (${inside.address}) is in ${a.text}.`;
    found.push(contradiction(a.path, message, 'Give a network in which no machine is.'));
  }
  return found;
}

function within({ address, prefix }: Network, other: ipaddr.IPv4 | ipaddr.IPv6): boolean {
  return other.kind() === address.kind() && other.match(address, prefix);
}
