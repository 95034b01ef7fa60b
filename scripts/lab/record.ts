import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { KkError } from '../../shared/errors.ts';
import { must } from './commands.ts';
import { chooseNet, isLabName, type Lab, type LabRef, labOf, type NodeNames, nodeNumber, nodeOf } from './names.ts';
import { bridges, netInUse } from './network.ts';
import { nodeNumbers } from './node-process.ts';
import { saveSysctls } from './sysctls.ts';

/** What a lab remembers of itself beyond what its name says. */
export interface LabRecord {
  net: string;
}

/**
 * The lab's folder, key and network; made when there are none.
 * @throws KkError LAB_NET_TAKEN, LAB_NAME_TAKEN, LAB_NO_NET
 */
export async function ensureLab(lab: Lab, net: string | undefined): Promise<LabRecord> {
  const record = recordOf(lab) ?? newRecord(lab, net);
  saveSysctls();
  mkdirSync(join(lab.stateDir, 'nodes'), { recursive: true, mode: 0o755 });
  writeFileSync(recordFile(lab), JSON.stringify(record));
  if (!existsSync(lab.sshKey)) {
    await must(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-C', `kk-lab ${lab.name}`, '-f', lab.sshKey]);
  }
  return record;
}

function newRecord(lab: Lab, net: string | undefined): LabRecord {
  if (existsSync(lab.stateDir) || bridges().includes(lab.name)) {
    throw new KkError({
      code: 'LAB_NAME_TAKEN',
      message: `'${lab.name}' is in use: ${lab.stateDir} or the bridge ${lab.bridge} exists, and belongs to no lab kept here.`,
      remedy: 'Choose another --name, or give the --state folder that lab was made with.',
    });
  }
  const promised = new Set(otherLabs(lab).map((name) => recordOf(labOf({ ...lab, name }))?.net));
  const taken = (candidate: string) => promised.has(candidate) || netInUse(candidate);
  if (net !== undefined && taken(net)) {
    throw new KkError({
      code: 'LAB_NET_TAKEN',
      message: `${net}.0/24 is already in use on this host.`,
      remedy: 'Choose another network, or leave --net out.',
    });
  }
  return { net: net ?? chooseNet(lab.name, taken) };
}

/** Names of the other labs of this host: those kept in the same folder, and those that have a bridge. */
export function otherLabs(lab: Lab): string[] {
  const folders = existsSync(lab.stateRoot) ? readdirSync(lab.stateRoot).filter(isLabName) : [];
  const kept = folders.filter((name) => recordOf(labOf({ ...lab, name })) !== undefined);
  return [...new Set([...kept, ...bridges()])].filter((name) => name !== lab.name);
}

/** The lab that is meant, when it exists. @throws KkError LAB_NO_LAB */
export function requireLab(ref: LabRef): { lab: Lab; net: string } {
  const lab = labOf(ref);
  const record = recordOf(lab);
  if (record !== undefined) return { lab, net: record.net };
  throw new KkError({
    code: 'LAB_NO_LAB',
    message: `There is no lab '${lab.name}'.`,
    remedy: 'Bring one up with `lab up 3`, or name another one with --name.',
  });
}

/** The node that is meant, when it exists. @throws KkError LAB_NO_LAB, LAB_NO_NODE, LAB_USAGE */
export function requireNode(ref: LabRef, text: string): { lab: Lab; node: NodeNames; net: string } {
  const { lab, net } = requireLab(ref);
  const number = nodeNumber(text);
  if (nodeNumbers(lab).includes(number)) return { lab, net, node: nodeOf(lab, number) };
  throw new KkError({
    code: 'LAB_NO_NODE',
    message: `Lab '${lab.name}' has no node${number}.`,
    remedy: '`lab ls` shows the nodes it has.',
  });
}

/** What the lab remembers; undefined when there is no such lab. */
export function recordOf(lab: Lab): LabRecord | undefined {
  const file = recordFile(lab);
  return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as LabRecord) : undefined;
}

function recordFile(lab: Lab): string {
  return join(lab.stateDir, 'lab.json');
}
