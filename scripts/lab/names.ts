import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { KkError } from '../../shared/errors.ts';

/** Where labs and the shared base filesystem lie when nobody says otherwise. */
export const DEFAULT_STATE_ROOT = '/var/lib/kk-lab';
export const DEFAULT_CACHE_DIR = '/var/cache/kk-lab';
export const DEFAULT_LAB = 'kk';

/** The last byte of node1's address; node K has `<net>.(10 + K)`. */
export const FIRST_ADDRESS = 11;
const LAST_ADDRESS = 254;

export const BRIDGE_PREFIX = 'kb-';
/** The cgroup in which every lab has its own. */
export const CGROUP_PARENT = 'kk-lab';

/** Which lab is meant, and where it is kept; a bare string is a lab's name in the default folders. */
export interface LabPlace {
  name: string;
  stateRoot?: string;
  cacheDir?: string;
}
export type LabRef = string | LabPlace;

/** Everything about a lab that follows from its name alone; no two labs share any of it. */
export interface Lab {
  name: string;
  stateRoot: string;
  cacheDir: string;
  stateDir: string;
  bridge: string;
  /** A node's cable (the host's end), network namespace and machine name are these and its number or name. */
  cablePrefix: string;
  netnsPrefix: string;
  machinePrefix: string;
  /** Path of the lab's cgroups below the cgroup of whoever starts a node. */
  cgroup: string;
  /** nftables table that holds the way out, when there is one. */
  natTable: string;
  sshKey: string;
}

/** Everything about a node that follows from its number (1, 2, ...) in its lab. */
export interface NodeNames {
  number: number;
  /** Its host name. */
  name: string;
  dir: string;
  netns: string;
  /** The host's end of its cable. */
  cable: string;
  cgroup: string;
  /** Its name towards systemd-nspawn, unique on the host. */
  machine: string;
}

/** A mistake in what a person typed, as opposed to something that failed. */
export function usageError(message: string, remedy: string): KkError {
  return new KkError({ code: 'LAB_USAGE', message, remedy });
}

/** Whether a lab can be called so. */
export function isLabName(name: string): boolean {
  return /^[a-z][a-z0-9]{0,7}$/.test(name);
}

/**
 * Names of the lab `ref`.
 * @throws KkError LAB_USAGE when the name does not fit: interface names end at 15 characters, of which the number of
 * the node and a prefix take seven.
 */
export function labOf(ref: LabRef): Lab {
  const {
    name,
    stateRoot = DEFAULT_STATE_ROOT,
    cacheDir = DEFAULT_CACHE_DIR,
  } = typeof ref === 'string' ? { name: ref } : ref;
  if (!isLabName(name)) {
    throw usageError(
      `'${name}' cannot name a lab`,
      'Use up to 8 lower-case letters and digits, a letter first, e.g. --name demo.',
    );
  }
  const stateDir = join(stateRoot, name);
  return {
    name,
    stateRoot,
    cacheDir,
    stateDir,
    bridge: `${BRIDGE_PREFIX}${name}`,
    cablePrefix: `kv-${name}-`,
    netnsPrefix: `kk-lab-${name}-`,
    machinePrefix: `kk-lab-${name}-`,
    cgroup: `${CGROUP_PARENT}/${name}`,
    natTable: `kk_lab_${name}`,
    sshKey: join(stateDir, 'id_lab'),
  };
}

/**
 * The number of the node a person calls `node2` or `2`.
 * @throws KkError LAB_USAGE
 */
export function nodeNumber(text: string): number {
  const number = Number(/^(?:node)?([1-9]\d{0,2})$/.exec(text)?.[1]);
  if (!(FIRST_ADDRESS - 1 + number <= LAST_ADDRESS)) {
    throw usageError(`'${text}' is not a node`, 'Name a node as node1 or 1; `ls` shows the nodes there are.');
  }
  return number;
}

/** Names of node `number` of `lab`. */
export function nodeOf(lab: Lab, number: number): NodeNames {
  const name = `node${number}`;
  return {
    number,
    name,
    dir: join(lab.stateDir, 'nodes', name),
    netns: `${lab.netnsPrefix}${number}`,
    cable: `${lab.cablePrefix}${number}`,
    cgroup: `${lab.cgroup}/${name}`,
    machine: `${lab.machinePrefix}${name}`,
  };
}

/** The address of node `number` in the /24 whose first three bytes are `net`. */
export function addressOf(net: string, number: number): string {
  return `${net}.${FIRST_ADDRESS - 1 + number}`;
}

/** The bridge's address: where nodes reach the host. */
export function gatewayOf(net: string): string {
  return `${net}.1`;
}

/**
 * The first three bytes of the lab's /24: 10.77.x with x from the lab's name, and the next one up while `taken` says
 * that the host already uses it.
 * @throws KkError LAB_NO_NET when all of 10.77.0.0/16 is taken
 */
export function chooseNet(name: string, taken: (net: string) => boolean): string {
  const wish = createHash('sha256').update(name).digest().readUInt16BE(0) % 256;
  for (let step = 0; step < 256; step++) {
    const net = `10.77.${(wish + step) % 256}`;
    if (!taken(net)) return net;
  }
  throw new KkError({
    code: 'LAB_NO_NET',
    message: 'Every /24 of 10.77.0.0/16 is in use on this host.',
    remedy: 'Destroy a lab you no longer need, or choose a network with --net 10.88.1.0/24.',
  });
}

/**
 * `10.88.1`, from `10.88.1` or `10.88.1.0/24`.
 * @throws KkError LAB_USAGE
 */
export function parseNet(text: string): string {
  const bytes = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})(?:\.0\/24)?$/.exec(text)?.slice(1).map(Number);
  if (bytes === undefined || bytes.some((byte) => byte > 255)) {
    throw usageError(`'${text}' is not a /24 network`, 'Write it as 10.88.1.0/24.');
  }
  return bytes.join('.');
}
