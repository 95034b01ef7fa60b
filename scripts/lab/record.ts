import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { KkError } from '../../shared/errors.ts';
import { must } from './commands.ts';
import { chooseNet, type Lab, type LabRef, labOf, type NodeNames, nodeNumber, nodeOf } from './names.ts';
import { netInUse } from './network.ts';
import { nodeNumbers } from './node-process.ts';
import { saveSysctls } from './sysctls.ts';

/** What a lab remembers of itself beyond what its name says. */
export interface LabRecord {
  net: string;
}

/** The lab's folder, key and network; made when there are none. */
export async function ensureLab(lab: Lab, net: string | undefined): Promise<LabRecord> {
  mkdirSync(join(lab.stateDir, 'nodes'), { recursive: true, mode: 0o755 });
  saveSysctls(sysctlFile(lab));
  if (!existsSync(lab.sshKey)) {
    await must(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-C', `kk-lab ${lab.name}`, '-f', lab.sshKey]);
  }
  const file = recordFile(lab);
  if (existsSync(file)) return JSON.parse(readFileSync(file, 'utf8')) as LabRecord;
  const others = labNames(lab).filter((name) => name !== lab.name);
  const promised = new Set(others.map((name) => recordOf(labOf({ ...lab, name }))?.net));
  const taken = (candidate: string) => promised.has(candidate) || netInUse(candidate);
  if (net !== undefined && taken(net)) {
    throw new KkError({
      code: 'LAB_NET_TAKEN',
      message: `${net}.0/24 is already in use on this host.`,
      remedy: 'Choose another network, or leave --net out.',
    });
  }
  const record: LabRecord = { net: net ?? chooseNet(lab.name, taken) };
  writeFileSync(file, JSON.stringify(record));
  return record;
}

/** Labs kept in the same state folder. */
export function labNames({ stateRoot }: Pick<Lab, 'stateRoot'>): string[] {
  if (!existsSync(stateRoot)) return [];
  return readdirSync(stateRoot, { withFileTypes: true }).flatMap((entry) => (entry.isDirectory() ? [entry.name] : []));
}

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

/** Beside the labs, as the host's settings are not one lab's. */
export function sysctlFile(lab: Lab): string {
  return join(lab.stateRoot, 'sysctls-before.json');
}

/** In the cache, as it outlives the labs: a lock file must not be deleted under those who wait for it. */
export function lockOf(lab: Lab): string {
  return join(lab.cacheDir, 'lab.lock');
}
