import { basename } from 'node:path';
import { parse } from 'yaml';
import { KkError } from '../../shared/errors.ts';
import type { Host } from '../host/host.ts';

/** In the order in which they are restarted: what others need comes first. */
export const STATIC_PODS = ['etcd', 'kube-apiserver', 'kube-controller-manager', 'kube-scheduler'] as const;
export type StaticPod = (typeof STATIC_PODS)[number];

export interface Waiting {
  sleep(ms: number): Promise<void>;
  /** Monotonic. */
  bootTimeMs(): number;
}

/** The kubelet starts a container again at once, after ten seconds the second time, and so on up to five minutes. */
const AGAIN_MS = 6 * 60_000;
const LOOK_MS = 500;
/** A program that lives so long has read its certificates. */
const LIVES_MS = 5_000;

/** Those whose manifests are on this node. An etcd that somebody runs as a static pod has certificates of its own, and is left alone. */
export async function staticPodsOf(host: Host, kubernetes: string): Promise<StaticPod[]> {
  const manifests = await host.files.list(`${kubernetes}/manifests`);
  const etcd = (await host.files.read(`${kubernetes}/manifests/etcd.yaml`))?.toString('utf8') ?? '';
  const isForeign = !etcd.includes(`${kubernetes}/pki/etcd/`);
  return STATIC_PODS.filter((name) => manifests.includes(`${name}.yaml`) && !(name === 'etcd' && isForeign));
}

/**
 * Ends the program of a static pod; the kubelet starts it again with what is on disk then. Nothing is moved or removed, so a
 * crash in the middle leaves nothing to mend. Resolves when the new one lives. Throws CERTS_POD_NOT_BACK.
 */
export async function restartStaticPod(
  host: Host,
  kubernetes: string,
  pod: StaticPod,
  waiting: Waiting,
): Promise<void> {
  const argv = await argvOf(host, kubernetes, pod);
  const before = await programsOf(host, argv);
  for (const pid of before) await host.run(['/bin/sh', '-c', 'kill -TERM "$1"', 'sh', pid]);
  const end = waiting.bootTimeMs() + AGAIN_MS;
  for (let since: number | undefined, seen = ''; ; ) {
    const now = waiting.bootTimeMs();
    const pids = (await programsOf(host, argv)).filter((pid) => !before.includes(pid));
    const found = pids.join(' ');
    if (found === '' || found !== seen) since = found === '' ? undefined : now;
    seen = found;
    if (since !== undefined && now - since >= LIVES_MS) return;
    if (now >= end) {
      throw new KkError({
        code: 'CERTS_POD_NOT_BACK',
        message: `${pod} was ended to read its new certificates, and has not come back within ${AGAIN_MS / 60_000} minutes.`,
        remedy:
          'See why on the node: journalctl -u kubelet, crictl ps -a, and the logs of its container in /var/log/pods.',
      });
    }
    await waiting.sleep(LOOK_MS);
  }
}

/**
 * Processes with just these words that run in a container of the kubelet's. The name is not enough: pods of people (a cluster in
 * a cluster, an etcd of their own) have programs of the same names, and the machine itself may have an etcd.
 */
async function programsOf(host: Host, argv: readonly string[]): Promise<string[]> {
  const pids = (await host.files.list('/proc')).filter((name) => /^\d+$/.test(name));
  const found: string[] = [];
  for (const pid of pids) {
    const words = (await readGone(host, `/proc/${pid}/cmdline`))?.replace(/\0$/, '').split('\0') ?? [];
    if (!isRunOf(argv, words)) continue;
    if ((await readGone(host, `/proc/${pid}/cgroup`))?.includes('kubepods')) found.push(pid);
  }
  return found;
}

function isRunOf(argv: readonly string[], words: readonly string[]): boolean {
  // The kubelet puts variables and `$` in place of what begins with a `$` in a manifest.
  return argv.length === words.length && argv.every((word, index) => word.includes('$') || word === words[index]);
}

/** A process may end between two looks. */
async function readGone(host: Host, path: string): Promise<string | undefined> {
  return (await host.files.read(path).catch(() => undefined))?.toString('utf8');
}

/** Where this node's apiserver listens, by its manifest; undefined: there is none. */
export async function ownApiserver(host: Host, kubernetes: string): Promise<string | undefined> {
  const words = await argvOf(host, kubernetes, 'kube-apiserver');
  if (words.length === 0) return undefined;
  const flag = (name: string): string | undefined =>
    words.find((word) => word.startsWith(`--${name}=`))?.slice(name.length + 3);
  const address = flag('advertise-address') ?? '127.0.0.1';
  return `https://${address.includes(':') ? `[${address}]` : address}:${flag('secure-port') ?? '6443'}`;
}

/** The words of a static pod's program, by its manifest; none: there is no manifest. */
async function argvOf(host: Host, kubernetes: string, pod: StaticPod): Promise<string[]> {
  const text = (await host.files.read(`${kubernetes}/manifests/${pod}.yaml`))?.toString('utf8');
  type Program = { command?: string[]; args?: string[] };
  const read = text === undefined ? null : (parse(text) as { spec?: { containers?: Program[] } } | null);
  const programs = read?.spec?.containers?.map(({ command = [], args = [] }) => [...command, ...args]) ?? [];
  // Somebody may have put another container beside kubeadm's.
  return programs.find(([program = '']) => basename(program) === pod) ?? [];
}
