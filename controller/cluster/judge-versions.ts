import { type Contradiction, contradiction, minorOf } from './contradiction.ts';
import { REMOVALS } from './removals.ts';
import type { ClusterConfig } from './schema.ts';

/** The oldest that kk makes clusters of: kubeadm's v1beta2. */
export const OLDEST_MINOR = 20;

type Wanted = ClusterConfig['kubernetes'];

/** Does this version of Kubernetes know what the settings ask of it? One rule for each thing that is asked. */
export function versionRules(config: ClusterConfig): (() => Contradiction[])[] {
  const rule = (judge: (wanted: Wanted) => Contradiction[]) => () => judge(config.kubernetes);
  return [
    rule(judgeOldest),
    rule((wanted) => {
      if (wanted.kube_proxy.mode !== 'nftables') return [];
      return since(wanted, 'kubernetes.kube_proxy.mode', 31, 'The mode nftables', 'Use ipvs or iptables.');
    }),
    rule(judgePatches),
    rule((wanted) => {
      const gates = Object.keys(wanted.feature_gates);
      return gone(wanted, 'kubernetes.feature_gates', gates, REMOVALS.feature_gates, 'The feature gate');
    }),
    ...(['apiserver', 'controller_manager', 'scheduler', 'kubelet'] as const).map((component) =>
      rule((wanted) => {
        const args = Object.keys(wanted[component].extra_args);
        return gone(wanted, `kubernetes.${component}.extra_args`, args, REMOVALS.flags[component], 'The flag');
      }),
    ),
    rule(judgePlugins),
  ];
}

const isTooOld = ({ version }: Wanted): boolean => !(minorOf(version) >= OLDEST_MINOR);

function judgeOldest(wanted: Wanted): Contradiction[] {
  if (!isTooOld(wanted)) return [];
  const remedy = `Write a version from v1.${OLDEST_MINOR}.0 on.`;
  return [contradiction('kubernetes.version', `kk makes no clusters of Kubernetes ${wanted.version}.`, remedy)];
}

function judgePatches(wanted: Wanted): Contradiction[] {
  const path = 'kubernetes.patches';
  const found = wanted.patches.flatMap(({ target }) => {
    if (target.startsWith('kubeletconfiguration'))
      return since(wanted, path, 25, 'The target kubeletconfiguration', 'Use kubernetes.kubelet.extra_config.');
    if (target.startsWith('corednsdeployment'))
      return since(wanted, path, 32, 'The target corednsdeployment', 'Remove it.');
    return [];
  });
  const patches = wanted.patches.length > 0;
  return [...(patches ? since(wanted, path, 22, 'Patches', 'Remove them, or use a newer version.') : []), ...found];
}

function judgePlugins(wanted: Wanted): Contradiction[] {
  const path = 'kubernetes.apiserver.extra_args.enable-admission-plugins';
  const plugins = wanted.apiserver.extra_args['enable-admission-plugins'];
  const names = typeof plugins === 'string' ? plugins.split(',') : [];
  return gone(wanted, '', names, REMOVALS.admission_plugins, 'The admission plugin').map(({ message }) =>
    contradiction(path, message, 'Take it out of the list.'),
  );
}

/** Of a version that is too old nothing else is told. */
function since(wanted: Wanted, path: string, first: number, what: string, remedy: string): Contradiction[] {
  if (isTooOld(wanted) || minorOf(wanted.version) >= first) return [];
  const message = `${what} came with Kubernetes 1.${first}, and the version is ${wanted.version}.`;
  return [contradiction(path, message, remedy)];
}

function gone(
  wanted: Wanted,
  path: string,
  names: readonly string[],
  last: Record<string, string>,
  what: string,
): Contradiction[] {
  if (isTooOld(wanted)) return [];
  return names.flatMap((name) => {
    const known = Object.hasOwn(last, name) ? last[name] : undefined;
    if (known === undefined || minorOf(wanted.version) <= Number(known.slice(2))) return [];
    const message = `${what} ${name} is gone: Kubernetes ${known} was the last that knew it, and the version is ${wanted.version}.`;
    return [contradiction(`${path}.${name}`, message, 'Remove it.')];
  });
}
