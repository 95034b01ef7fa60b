import { KkError } from '../../../shared/errors.ts';
import { type LabUp, labExec, labUp } from '../api.ts';
import { lastLines } from '../commands.ts';
import type { LabPlace } from '../names.ts';
import type { Progress } from '../prepare.ts';
import { MIRROR_PORT } from './mirror.ts';
import { REPOSITORY } from './repository.ts';

/** Sparse; enough for the room that the prechecks advise. */
const DISK = '24G';

/**
 * Machines as they come from a provider: without a container runtime, with a repository of packages (that of the mirror).
 * @throws KkError LAB_COMMAND, LAB_UNAVAILABLE
 */
export async function bareMachines(
  input: LabPlace & { count: number; net?: string; port?: number; onProgress?: Progress },
): Promise<LabUp> {
  const lab = await labUp({ disk: DISK, ...input });
  const mirror = `http://${lab.gateway}:${input.port ?? MIRROR_PORT}`;
  await Promise.all(lab.nodes.map(({ name }) => strip(input, name, mirror)));
  return lab;
}

async function strip(lab: LabPlace, node: string, mirror: string): Promise<void> {
  const script = `set -e
    ! dpkg-query -W containerd runc >/dev/null 2>&1 || dpkg --purge containerd runc >/dev/null
    rm -f /etc/apt/sources.list /etc/apt/sources.list.d/*
    echo "deb [trusted=yes] ${mirror}/${REPOSITORY} ./" >/etc/apt/sources.list.d/lab.list`;
  const { code, stdout, stderr } = await labExec(lab, node, ['sh', '-c', script]);
  if (code === 0) return;
  throw new KkError({
    code: 'LAB_COMMAND',
    message: `${node} could not be made a bare machine.`,
    evidence: lastLines(stderr || stdout, 12),
    remedy: `Destroy the lab with \`npm run lab -- destroy --name ${lab.name}\` and try again.`,
  });
}
