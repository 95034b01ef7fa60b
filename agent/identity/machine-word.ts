import { readFile } from 'node:fs/promises';
import { arch, cpus, hostname, release, totalmem } from 'node:os';
import type { MachineWord } from '../../shared/enrolment.ts';

/** What this machine says of itself to the person who approves its join. */
export async function machineWord(version: string): Promise<MachineWord> {
  const text = await readFile('/etc/os-release', 'utf8').catch(() => '');
  const name = /^PRETTY_NAME="?([^"\n]*)/m.exec(text)?.[1] ?? 'Linux';
  const short = (word: string): string => word.slice(0, 200);
  return {
    ...{ hostname: short(hostname()), os: short(name), kernel: short(release()), arch: arch() },
    ...{ version: short(version), cpus: cpus().length, memory: totalmem() },
  };
}
