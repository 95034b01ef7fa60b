import type { X509Certificate } from 'node:crypto';
import { basename } from 'node:path';
import { parseBundle, validityOf } from '../../shared/certificates.ts';
import { clientCertificate } from '../../shared/kubeconfig.ts';
import type { Keeper, NodeCertificate } from '../../shared/node-certificates.ts';
import type { HostFiles } from '../host/host.ts';

/** Where certificates of a cluster lie on a node: kubeadm's places, the kubelet's, and those of kk's role etcd. */
export interface CertificatePlaces {
  kubernetes: string;
  kubelet: string;
  etcd: string;
  /** Copies of admin.conf. */
  kubeconfigs: readonly string[];
}

export const USUAL_PLACES: CertificatePlaces = {
  kubernetes: '/etc/kubernetes',
  kubelet: '/var/lib/kubelet/pki',
  etcd: '/etc/etcd/pki',
  kubeconfigs: ['/root/.kube/config'],
};

/** What `kubeadm certs renew all` renews; the rest in its folders came from somewhere else. */
const OF_KUBEADM = {
  pki: ['apiserver', 'apiserver-kubelet-client', 'front-proxy-client', 'apiserver-etcd-client'],
  etcd: ['server', 'peer', 'healthcheck-client'],
  kubeconfigs: ['admin.conf', 'super-admin.conf', 'controller-manager.conf', 'scheduler.conf'],
} as const;

/** Every certificate of a cluster on this node, by place. What is no certificate, or cannot be read as one, is left out. */
export async function findCertificates(files: HostFiles, places: CertificatePlaces): Promise<NodeCertificate[]> {
  const pki = `${places.kubernetes}/pki`;
  // Without the key of etcd's CA kubeadm cannot sign: etcd is outside, and its client's certificate came by a run.
  const isStacked = (await files.stat(`${pki}/etcd/ca.key`)) !== undefined;
  const ofPki = (name: string): Keeper =>
    name === 'apiserver-etcd-client' && !isStacked ? 'run' : keptByTimer(OF_KUBEADM.pki, name);
  const ofEtcd = (name: string): Keeper => (isStacked ? keptByTimer(OF_KUBEADM.etcd, name) : 'nobody');
  const found = [
    ...(await inFolder(files, pki, '', ofPki)),
    ...(await inFolder(files, `${pki}/etcd`, 'etcd/', ofEtcd)),
    ...(await inKubeconfigs(files, places)),
    ...(await inFolder(files, places.etcd, 'etcd/', () => 'run')),
  ];
  for (const name of ['kubelet-client-current.pem', 'kubelet.crt']) {
    found.push(...(await inFile(files, `${places.kubelet}/${name}`, name.replace(/\..*/, ''), 'kubelet')));
  }
  return found;
}

function keptByTimer(names: readonly string[], name: string): Keeper {
  return names.includes(name) ? 'timer' : 'nobody';
}

async function inFolder(
  files: HostFiles,
  folder: string,
  prefix: string,
  keeperOf: (name: string) => Keeper,
): Promise<NodeCertificate[]> {
  const names = (await files.list(folder)).filter((name) => name.endsWith('.crt'));
  const each = names.map((name) => {
    const bare = basename(name, '.crt');
    return inFile(files, `${folder}/${name}`, `${prefix}${bare}`, keeperOf(bare));
  });
  return (await Promise.all(each)).flat();
}

async function inFile(files: HostFiles, path: string, name: string, keeper: Keeper): Promise<NodeCertificate[]> {
  return described((await files.read(path))?.toString('utf8'), { name, path, keeper });
}

async function inKubeconfigs(files: HostFiles, places: CertificatePlaces): Promise<NodeCertificate[]> {
  const names = (await files.list(places.kubernetes)).filter((name) => name.endsWith('.conf'));
  const paths = [...names.map((name) => `${places.kubernetes}/${name}`), ...places.kubeconfigs];
  const found: NodeCertificate[] = [];
  for (const path of paths) {
    const name = places.kubeconfigs.includes(path) ? path : basename(path);
    const text = (await files.read(path))?.toString('utf8');
    const keeper = keptByTimer(OF_KUBEADM.kubeconfigs, name);
    if (text !== undefined) found.push(...described(clientCertificate(text), { name, path, keeper }));
  }
  return found;
}

function described(pem: string | undefined, of: { name: string; path: string; keeper: Keeper }): NodeCertificate[] {
  const certificate = pem === undefined ? undefined : first(pem);
  if (certificate === undefined) return [];
  return [
    {
      ...of,
      keeper: certificate.ca ? 'nobody' : of.keeper,
      subject: commonName(certificate.subject),
      issuer: commonName(certificate.issuer),
      not_after_ms: validityOf(certificate).notAfter,
    },
  ];
}

function first(pem: string): X509Certificate | undefined {
  try {
    return parseBundle(pem)[0];
  } catch {
    return undefined;
  }
}

function commonName(name: string | undefined): string {
  const lines = (name ?? '').split('\n');
  return lines.find((line) => line.startsWith('CN='))?.slice('CN='.length) ?? lines.join(', ');
}
