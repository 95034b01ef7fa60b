import { readdirSync, readFileSync } from 'node:fs';

/**
 * When the process began, in clock ticks since boot (field 22 of /proc/<pid>/stat, proc(5)): with the pid it names one
 * process for the whole of a boot. undefined: no such process, or only its zombie.
 */
export function startTicks(pid: number): number | undefined {
  const fields = statFields(pid);
  return fields === undefined ? undefined : Number(fields[19]);
}

/** Fields of /proc/<pid>/stat from the third (the state) on; undefined: no such process, or only its zombie. */
function statFields(pid: number | string): string[] | undefined {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch {
    return undefined;
  }
  // The name of the program, in parentheses, may hold spaces and parentheses itself: count from the last one.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return fields[0] === 'Z' || fields[0] === 'X' ? undefined : fields;
}

/** The process group of a process; undefined: no such process, or only its zombie. */
export function groupOf(pid: number): number | undefined {
  const fields = statFields(pid);
  return fields === undefined ? undefined : Number(fields[2]);
}

/** Has a process group members that are more than zombies (which a container's init may never collect)? */
export function groupLives(pgid: number): boolean {
  return readdirSync('/proc').some((name) => /^\d+$/.test(name) && Number(statFields(name)?.[2]) === pgid);
}

/** A process that can be found again. */
export interface ProcessIdentity {
  pid: number;
  startTicks: number;
}

export function lives(who: ProcessIdentity): boolean {
  return startTicks(who.pid) === who.startTicks;
}
