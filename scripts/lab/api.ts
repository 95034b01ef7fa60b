import { type Outcome, withLock } from './commands.ts';
import { addressOf, gatewayOf, type LabPlace, type LabRef, labOf, nodeNumber, nodeOf } from './names.ts';
import { closeNat, openNat } from './nat.ts';
import * as network from './network.ts';
import * as processes from './node-process.ts';
import { ensureBase, installNeeds, type Progress } from './prepare.ts';
import { ensureLab, recordOf, requireLab, requireNode } from './record.ts';

export type { Outcome } from './commands.ts';
export { labDestroy } from './destroy.ts';
export type { LabPlace, LabRef } from './names.ts';
export type { NodeState } from './node-process.ts';
export { type Availability, labAvailable, type Progress } from './prepare.ts';

/** What to bring up, and where. */
export interface UpOptions extends LabPlace {
  /** How many nodes: node1 .. node<count>. */
  count?: number;
  /** Exactly these node numbers instead of the first `count`. */
  numbers?: readonly number[];
  /** First three bytes of the lab's /24; only heeded when the lab is new. */
  net?: string;
  /** Debian suite of new nodes; default bookworm. */
  suite?: string;
  /** Size of a new node's disk; default 20G, sparse. */
  disk?: string;
  onProgress?: Progress;
}

/** A lab that is up. */
export interface LabUp {
  nodes: { name: string; address: string; state: processes.NodeState }[];
  /** The host's address on the lab's network: where nodes reach a controller on this machine. */
  gateway: string;
  /** Private key of root on every node. */
  sshKey: string;
  stateDir: string;
}

/** One line of `ls`. */
export interface NodeInfo {
  name: string;
  address: string;
  state: processes.NodeState;
  /** `cut` when its cable is out. */
  cable: 'plugged' | 'cut';
  /** The node's PID 1 as the host numbers it; absent when the node is down. */
  pid?: number;
  /** The folder name of the base it stands on. */
  base: string;
}

const silent: Progress = () => {};

/**
 * Install what a lab needs and build the base its nodes share, so that a later {@link labUp} takes seconds.
 * @throws KkError LAB_UNAVAILABLE, LAB_COMMAND, LAB_USAGE
 */
export async function labPrepare(place: LabPlace, suite = 'bookworm', onProgress = silent): Promise<string> {
  await withLock(() => installNeeds(onProgress));
  return ensureBase(labOf(place), suite, onProgress);
}

/**
 * Bring nodes up and wait until their systemd says it has booted. Nodes that are up stay as they are; nodes that were
 * up once start from their own disk.
 * @throws KkError LAB_UNAVAILABLE, LAB_NO_NET, LAB_NO_BOOT, LAB_COMMAND, LAB_USAGE
 */
export async function labUp(options: UpOptions): Promise<LabUp> {
  const { count = 1, suite = 'bookworm', disk = '20G', onProgress = silent } = options;
  const lab = labOf(options);
  const numbers = options.numbers ?? Array.from({ length: count }, (_, index) => index + 1);
  const base = await labPrepare(options, suite, onProgress);
  const nodes = numbers.map((number) => nodeOf(lab, nodeNumber(`${number}`)));

  // One at a time on the whole host: two labs must not choose one network, and interfaces are made step by step.
  const { net } = await withLock(async () => {
    const record = await ensureLab(lab, options.net);
    await network.ensureBridge(lab, record.net);
    for (const node of nodes) await network.ensureCable(lab, node, record.net);
    return record;
  });
  onProgress(`starting ${nodes.map(({ name }) => name).join(' ')}`);
  for (const node of nodes) processes.startNode(lab, node, { net, base, disk });
  const up = await Promise.all(
    nodes.map(async (node) => ({
      name: node.name,
      address: addressOf(net, node.number),
      state: await processes.awaitBoot(node),
    })),
  );
  return {
    nodes: up,
    gateway: gatewayOf(net),
    sshKey: lab.sshKey,
    stateDir: lab.stateDir,
  };
}

/** The lab's nodes and how they are; empty when there is no such lab. */
export async function labList(ref: LabRef): Promise<NodeInfo[]> {
  const lab = labOf(ref);
  const record = recordOf(lab);
  if (record === undefined) return [];
  return Promise.all(
    processes.nodeNumbers(lab).map(async (number) => {
      const node = nodeOf(lab, number);
      const pid = processes.initOf(node);
      return {
        name: node.name,
        address: addressOf(record.net, number),
        state: await processes.nodeState(node),
        cable: (await network.cablePlugged(node)) ? 'plugged' : 'cut',
        ...(pid === undefined ? {} : { pid }),
        base: processes.baseName(node),
      } satisfies NodeInfo;
    }),
  );
}

/**
 * Run `argv` in a node as root, without a shell and without the power to set the clock. Its exit code is answered, not
 * thrown.
 * @throws KkError LAB_NO_NODE, LAB_NODE_DOWN
 */
export async function labExec(
  ref: LabRef,
  node: string,
  argv: readonly string[],
  options: { input?: string | Buffer } = {},
): Promise<Outcome> {
  return processes.execInNode(requireNode(ref, node).node, argv, options);
}

/** The command that runs `argv` in a node, for a caller who wants its own terminal on it. */
export function labExecCommand(ref: LabRef, node: string, argv: readonly string[]): string[] {
  return processes.inside(processes.requireInit(requireNode(ref, node).node), argv);
}

/** The command that logs in to a node by ssh as root with the lab's key. */
export function labSshCommand(ref: LabRef, text: string, argv: readonly string[]): string[] {
  const { lab, node, net } = requireNode(ref, text);
  // A node's host key is new each time the node is made, so there is nothing to recognise it by.
  const options = ['StrictHostKeyChecking=no', 'UserKnownHostsFile=/dev/null', 'LogLevel=ERROR', 'ConnectTimeout=5'];
  const flags = ['BatchMode=yes', 'IdentitiesOnly=yes', ...options].flatMap((option) => ['-o', option]);
  return ['ssh', '-i', lab.sshKey, ...flags, `root@${addressOf(net, node.number)}`, ...argv];
}

/** Where the files of a running node are seen from the host. */
export function labRoot(ref: LabRef, node: string): string {
  return `/proc/${processes.requireInit(requireNode(ref, node).node)}/root`;
}

/** Pull the node's cable out: packets are lost, nothing is refused. */
export async function cut(ref: LabRef, node: string): Promise<void> {
  await network.setCable(requireNode(ref, node).node, false);
}

/** Put the node's cable back. */
export async function join(ref: LabRef, node: string): Promise<void> {
  await network.setCable(requireNode(ref, node).node, true);
}

/** End all of the node's processes at once, as when a hypervisor kills its machine; what it wrote stays. */
export async function kill(ref: LabRef, node: string): Promise<void> {
  await processes.killNode(requireNode(ref, node).node);
}

/** Pull the node's plug: all processes end and unsynced writes are lost. */
export async function powerloss(ref: LabRef, node: string): Promise<void> {
  await processes.losePower(requireNode(ref, node).node);
}

/** Power a node off in order; its disk and its cable stay. */
export async function down(ref: LabRef, node: string): Promise<void> {
  await processes.shutDown(requireNode(ref, node).node);
}

/** Kill a node and forget its disk and its cable. */
export async function remove(ref: LabRef, text: string): Promise<void> {
  const { node } = requireNode(ref, text);
  await processes.eraseNode(node);
  await network.removeCable(node);
}

/** Let the nodes reach what the host reaches (its package registries, say), or stop that; a new lab has no way out. */
export async function nat(ref: LabRef, wanted: boolean): Promise<void> {
  const { lab, net } = requireLab(ref);
  await withLock(async () => {
    await (wanted ? openNat(lab, net) : closeNat(lab));
  });
}
