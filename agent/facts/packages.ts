import type { Facts } from '../../shared/facts.ts';
import type { Host } from '../host/host.ts';
import { gatherPackageManager } from './package-manager.ts';

/** What Kubernetes runs on, needs beside it, or quarrels with, by the distributions' names. */
const OF_INTEREST = [
  ...['containerd', 'containerd.io', 'cri-o', 'docker-ce', 'docker.io', 'podman', 'runc', 'crun', 'cri-tools'],
  ...['kubeadm', 'kubectl', 'kubelet', 'kubernetes-cni', 'etcd', 'etcd-client', 'etcd-server'],
  ...['conntrack', 'conntrack-tools', 'ebtables', 'ethtool', 'ipset', 'iptables', 'ipvsadm', 'nftables', 'socat'],
  ...['chrony', 'ntp', 'ntpsec', 'systemd-timesyncd', 'firewalld', 'ufw'],
  ...['ceph-common', 'cryptsetup', 'iscsi-initiator-utils', 'multipath-tools', 'nfs-common', 'nfs-utils', 'open-iscsi'],
  ...['haproxy', 'keepalived', 'curl', 'openssl', 'systemd', 'sudo', 'tar'],
];

/** Those that are installed. dpkg-query and rpm end with 1 when one is not. */
export async function gatherPackages(host: Host): Promise<Record<string, string>> {
  const manager = await gatherPackageManager(host);
  if (manager === 'none') return {};
  const format = (fields: readonly string[], wrap: (field: string) => string): string =>
    `${fields.map(wrap).join('\\t')}\\n`;
  const argv =
    manager === 'apt'
      ? ([
          'dpkg-query',
          '-W',
          `-f=${format(['db:Status-Status', 'Package', 'Version'], (field) => `\${${field}}`)}`,
        ] as const)
      : (['rpm', '-q', '--qf', `installed\\t${format(['NAME', 'VERSION'], (field) => `%{${field}}`)}`] as const);
  const { stdout } = await host.run([...argv, ...OF_INTEREST], { timeoutMs: 5_000, env: { LC_ALL: 'C' } });
  return parsePackages(stdout);
}

/** Pure: state, name, version by tabs; other lines are of those that are not there. */
export function parsePackages(text: string): NonNullable<Facts['packages']> {
  const found = text.split('\n').flatMap((line) => {
    const [state, name = '', version = ''] = line.split('\t');
    return state === 'installed' && version !== '' ? [[name, version] as const] : [];
  });
  return Object.fromEntries(found.sort(([a], [b]) => (a < b ? -1 : 1)));
}
