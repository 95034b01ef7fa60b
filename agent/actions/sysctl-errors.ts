import { sysctlName } from '../../shared/actions/sysctl.ts';
import { KkError } from '../../shared/errors.ts';

/** What brings keys into the kernel (https://docs.kernel.org/networking/, Documentation/networking/*-sysctl.rst). */
const MODULES: readonly [prefix: RegExp, module: string][] = [
  [/^net\/bridge\//, 'br_netfilter'],
  [/^net\/(?:netfilter\/)?nf_conntrack/, 'nf_conntrack'],
  [/^net\/ipv4\/vs\//, 'ip_vs'],
  [/^net\/sctp\//, 'sctp'],
  [/^net\/mpls\//, 'mpls_router'],
  [/^fs\/nfs\/n[sl]m_/, 'lockd'],
  [/^sunrpc\//, 'sunrpc'],
];

function causeOf(path: string): string {
  const module = MODULES.find(([prefix]) => prefix.test(path))?.[1];
  if (module !== undefined) return `load the module ${module} in an earlier task`;
  const [, name] = /^net\/ipv[46]\/(?:conf|neigh)\/([^/]+)\//.exec(path) ?? [];
  if (name !== undefined && name !== 'all' && name !== 'default') return `is there a network interface ${name}?`;
  if (path.startsWith('net/ipv6/')) return 'IPv6 is switched off in this kernel (ipv6.disable=1)';
  return 'this kernel may be too old or too new for it, or a module is not loaded';
}

export function unknownKeys(paths: readonly string[]): KkError {
  const [first = ''] = paths;
  const more = paths.length > 1 ? ` (and ${paths.length - 1} more)` : '';
  return new KkError({
    code: 'SYSCTL_UNKNOWN',
    message: `The kernel of this node has no sysctl ${sysctlName(first)}${more}: ${causeOf(first)}.`,
    remedy: 'Do what the message says, correct the key, or add ignore_missing: true.',
    evidence: paths.map((path) => `${sysctlName(path)}: ${causeOf(path)}`).join('\n'),
  });
}

const DENIED = new Set(['EACCES', 'EPERM', 'EROFS']);

/** What the system throws when a value is written, in words; anything else comes back as it is. */
export function notWritten(path: string, value: string, thrown: unknown): unknown {
  const { code = '', message = '' } = thrown as NodeJS.ErrnoException;
  if (code === 'ENOENT') return unknownKeys([path]);
  if (DENIED.has(code)) {
    return new KkError({
      code: 'SYSCTL_DENIED',
      message: `${sysctlName(path)} may not be set on this node.`,
      remedy:
        'Run the agent as root. In a container set it on the host, for there /proc/sys is read-only; some keys can only be set once for each boot.',
      evidence: message,
      cause: thrown,
    });
  }
  if (!['EINVAL', 'ERANGE', 'EDOM', 'EOPNOTSUPP'].includes(code)) return thrown;
  return new KkError({
    code: 'SYSCTL_REFUSED',
    message: `The kernel refuses ${value} for ${sysctlName(path)}.`,
    remedy: 'See which values it takes: https://docs.kernel.org/admin-guide/sysctl/.',
    evidence: message,
    cause: thrown,
  });
}

export function notReadable(path: string, thrown: unknown): unknown {
  const { code = '', message = '' } = thrown as NodeJS.ErrnoException;
  if (!DENIED.has(code)) return thrown;
  return new KkError({
    code: 'SYSCTL_UNREADABLE',
    message: `${sysctlName(path)} cannot be read, so nobody can tell whether it is as wanted.`,
    remedy:
      'Run the agent as root. A key that only sets something off (net.ipv4.route.flush) belongs in a command task.',
    evidence: message,
    cause: thrown,
  });
}

export function notTaken(path: string, wanted: string, taken: string): KkError {
  return new KkError({
    code: 'SYSCTL_NOT_TAKEN',
    message: `The kernel made ${taken} of ${wanted} for ${sysctlName(path)}.`,
    remedy: 'Write the value that the kernel gives in the plan: it rounds and bounds some.',
  });
}
