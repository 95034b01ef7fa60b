/** All processes of a command: its process group, and what else is in its cgroup. */
import { processesIn } from './command-cgroup.ts';
import { groupLives, groupOf } from './process-identity.ts';

export interface Family {
  /** The command's own process, which leads its group. */
  pid: number;
  /** Where it has one (command-cgroup.ts). */
  cgroup?: string;
}

/** Sends a signal to each process once. */
export function signalFamily({ pid, cgroup }: Family, signal: NodeJS.Signals): void {
  const others = strays({ pid, ...(cgroup === undefined ? {} : { cgroup }) });
  for (const target of [-pid, ...others]) {
    try {
      process.kill(target, signal);
    } catch {
      // Gone meanwhile.
    }
  }
}

export function familyLives(family: Family): boolean {
  return groupLives(family.pid) || strays(family).length > 0;
}

/** Those that have left the process group. */
function strays({ pid, cgroup }: Family): number[] {
  if (cgroup === undefined) return [];
  return processesIn(cgroup).filter((other) => {
    const group = groupOf(other);
    return group !== undefined && group !== pid;
  });
}
