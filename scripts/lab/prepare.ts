import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { accessSync, constants, existsSync, readFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { KkError } from '../../shared/errors.ts';
import { must } from './commands.ts';
import { type Lab, usageError } from './names.ts';

/** Tells a person what takes long, one line at a time. */
export type Progress = (line: string) => void;

export type Availability = { ok: true } | { ok: false; why: string };

/** Folder of the bash (and one perl) programs that run around and inside a node. */
export const PROGRAMS = join(import.meta.dirname, 'node');

export const SUITES = ['bookworm', 'trixie'] as const;

/** Programs the lab runs, with the Debian package that brings each. */
const NEEDS: Readonly<Record<string, string>> = {
  'systemd-nspawn': 'systemd-container',
  mmdebstrap: 'mmdebstrap',
  nft: 'nftables',
  iptables: 'iptables',
  ip: 'iproute2',
  ssh: 'openssh-client',
  nsenter: 'util-linux',
  setpriv: 'util-linux',
  flock: 'util-linux',
  losetup: 'mount',
  'mkfs.ext4': 'e2fsprogs',
  perl: 'perl-base',
};

/** Bits of the capability mask in /proc/self/status (linux/capability.h). */
const CAPABILITIES = { CAP_NET_ADMIN: 12n, CAP_SYS_ADMIN: 21n };
const FILESYSTEMS = ['overlay', 'ext4'];
const DEVICES = ['/dev/loop-control', '/dev/kmsg', '/dev/fuse', '/dev/net/tun'];
/** v1 controllers that containerd, runc and the kubelet need to own. */
const CONTROLLERS = ['cpu', 'cpuset', 'memory', 'pids', 'devices'];

/** Whether this machine can carry a lab at all; says the first thing that is in the way. Changes nothing. */
export function labAvailable(): Availability {
  const why = obstacle();
  return why === undefined ? { ok: true } : { ok: false, why };
}

function obstacle(): string | undefined {
  if (process.platform !== 'linux') return `a lab needs Linux, and this is ${process.platform}`;
  if (process.getuid?.() !== 0) return 'a lab needs root: it makes network namespaces, mounts and cgroups';
  const capabilities = BigInt(`0x${/^CapEff:\s*(\w+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0'}`);
  for (const [name, bit] of Object.entries(CAPABILITIES)) {
    if (((capabilities >> bit) & 1n) === 0n) return `root lacks ${name} here (a container without privileges?)`;
  }
  const filesystem = FILESYSTEMS.find((name) => !knowsFilesystem(name));
  if (filesystem !== undefined) return `this kernel has no ${filesystem} file system`;
  const device = DEVICES.find((path) => !existsSync(path));
  if (device !== undefined) return `${device} is missing`;
  const cgroups = readFileSync('/proc/self/cgroup', 'utf8').split('\n');
  const controller = CONTROLLERS.find((name) => !cgroups.some((line) => line.split(':')[1]?.split(',').includes(name)));
  if (controller !== undefined) {
    return `cgroup controller '${controller}' is not mounted as v1: the lab gives its nodes the v1 hybrid layout`;
  }
  if (!existsSync(`/proc/self/task/${process.pid}/children`))
    return 'this kernel does not list child processes in /proc';
  if (program('ip') && program('unshare')) {
    const probe = 'ip link add b0 type bridge && ip link add v0 type veth peer name v1';
    if (spawnSync('unshare', ['--net', 'sh', '-c', probe]).status !== 0)
      return 'this kernel makes no bridges and veths';
  }
  if (missingPackages().length > 0 && !program('apt-get')) {
    return `${missingPackages().join(', ')} missing, and there is no apt-get to install them with`;
  }
  return undefined;
}

function knowsFilesystem(name: string): boolean {
  const known = () => readFileSync('/proc/filesystems', 'utf8').split(/\s+/).includes(name);
  if (!known()) spawnSync('modprobe', [name]);
  return known();
}

function program(name: string): boolean {
  return `${process.env.PATH ?? ''}${delimiter}/usr/sbin${delimiter}/sbin`.split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, name), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

function missingPackages(): string[] {
  return [...new Set(Object.keys(NEEDS).flatMap((name) => (program(name) ? [] : [NEEDS[name] ?? name])))];
}

/**
 * Install what the lab runs and is not there yet.
 * @throws KkError LAB_UNAVAILABLE, LAB_COMMAND
 */
export async function installNeeds(progress: Progress): Promise<void> {
  const available = labAvailable();
  if (!available.ok) {
    throw new KkError({
      code: 'LAB_UNAVAILABLE',
      message: `No lab can be had here: ${available.why}.`,
      remedy: 'Use a Linux machine (Debian 12 is what the lab is tried on) where you are root.',
    });
  }
  const packages = missingPackages();
  if (packages.length === 0) return;
  progress(`installing ${packages.join(' ')}`);
  const install = [
    'apt-get',
    'install',
    '-y',
    '-qq',
    '-o',
    'DPkg::Lock::Timeout=120',
    '--no-install-recommends',
    ...packages,
  ];
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  try {
    await must(install, { env });
  } catch {
    await must(['apt-get', 'update', '-qq'], { env }); // the lists may be old or absent
    await must(install, { env });
  }
}

/**
 * The root filesystem that nodes of `suite` start from; made when it is not there (about a minute). Its folder is named
 * after its recipe too, so a changed recipe makes a new base and leaves the one that existing nodes stand on.
 * @throws KkError LAB_USAGE for a suite nobody tried, LAB_COMMAND
 */
export async function ensureBase(lab: Lab, suite: string, progress: Progress): Promise<string> {
  if (!(SUITES as readonly string[]).includes(suite)) {
    throw usageError(`'${suite}' is not a suite the lab knows`, `Choose one of ${SUITES.join(', ')}.`);
  }
  const builder = join(PROGRAMS, 'build-base.sh');
  const recipe = createHash('sha256').update(readFileSync(builder)).digest('hex').slice(0, 8);
  const base = join(lab.cacheDir, `base-${suite}-${recipe}`);
  if (!existsSync(base)) {
    progress(`building the ${suite} base that all nodes share (about a minute, once)`);
    await must([builder, suite, base]);
  }
  return base;
}
