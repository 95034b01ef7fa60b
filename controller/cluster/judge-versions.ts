import { type Contradiction, contradiction, minorOf } from './contradiction.ts';
import { REMOVALS } from './removals.ts';
import type { ClusterConfig } from './schema.ts';

/** The oldest that kk makes clusters of: kubeadm's v1beta2. */
export const OLDEST_MINOR = 20;

/** Does this version of Kubernetes know what the settings ask of it? */
export function judgeVersions({ kubernetes: wanted }: ClusterConfig): Contradiction[] {
  const minor = minorOf(wanted.version);
  if (!(minor >= OLDEST_MINOR)) {
    const remedy = `Write a version from v1.${OLDEST_MINOR}.0 on.`;
    return [contradiction('kubernetes.version', `kk makes no clusters of Kubernetes ${wanted.version}.`, remedy)];
  }
  const found: Contradiction[] = [];
  const since = (path: string, first: number, what: string, remedy: string): void => {
    if (minor >= first) return;
    found.push(
      contradiction(path, `${what} came with Kubernetes 1.${first}, and the version is ${wanted.version}.`, remedy),
    );
  };
  if (wanted.kube_proxy.mode === 'nftables') {
    since('kubernetes.kube_proxy.mode', 31, 'The mode nftables', 'Use ipvs or iptables.');
  }
  if (wanted.patches.length > 0) since('kubernetes.patches', 22, 'Patches', 'Remove them, or use a newer version.');
  for (const { target } of wanted.patches) {
    if (target.startsWith('kubeletconfiguration'))
      since('kubernetes.patches', 25, 'The target kubeletconfiguration', 'Use kubernetes.kubelet.extra_config.');
    if (target.startsWith('corednsdeployment'))
      since('kubernetes.patches', 32, 'The target corednsdeployment', 'Remove it.');
  }
  const gone = (path: string, names: Iterable<string>, last: Record<string, string>, what: string): void => {
    for (const name of names) {
      const known = Object.hasOwn(last, name) ? last[name] : undefined;
      if (known === undefined || minor <= Number(known.slice(2))) continue;
      const message = `${what} ${name} is gone: Kubernetes ${known} was the last that knew it, and the version is ${wanted.version}.`;
      found.push(contradiction(`${path}.${name}`, message, 'Remove it.'));
    }
  };
  gone('kubernetes.feature_gates', Object.keys(wanted.feature_gates), REMOVALS.feature_gates, 'The feature gate');
  for (const component of ['apiserver', 'controller_manager', 'scheduler', 'kubelet'] as const) {
    const args = Object.keys(wanted[component].extra_args);
    gone(`kubernetes.${component}.extra_args`, args, REMOVALS.flags[component], 'The flag');
  }
  const plugins = wanted.apiserver.extra_args['enable-admission-plugins'];
  for (const name of typeof plugins === 'string' ? plugins.split(',') : []) {
    const last = Object.hasOwn(REMOVALS.admission_plugins, name) ? REMOVALS.admission_plugins[name] : undefined;
    if (last === undefined || minor <= Number(last.slice(2))) continue;
    const path = 'kubernetes.apiserver.extra_args.enable-admission-plugins';
    const message = `The admission plugin ${name} is gone: Kubernetes ${last} was the last that knew it, and the version is ${wanted.version}.`;
    found.push(contradiction(path, message, 'Take it out of the list.'));
  }
  return found;
}
