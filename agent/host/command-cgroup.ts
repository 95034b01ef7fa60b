/**
 * A cgroup of a command's own, so that what it starts can be ended with it even where that left its session (setsid). Below
 * the agent's own unit, which systemd delegates to it; of no other cgroup may we make children. No controller is used, so it
 * bounds nothing: it only counts who belongs to the command.
 */
import { closeSync, mkdirSync, openSync, readdirSync, readFileSync, rmdirSync, writeSync } from 'node:fs';
import { join } from 'node:path';

/** Makes a cgroup of that name; undefined: there is none to be had here. */
export function makeCgroup(name: string): string | undefined {
  try {
    const unit = unitFolder(readFileSync('/proc/self/cgroup', 'utf8'), readFileSync('/proc/self/mountinfo', 'utf8'));
    if (unit === undefined) return undefined;
    mkdirSync(join(unit, name));
    return join(unit, name);
  } catch {
    return undefined;
  }
}

/**
 * The folder of the unit that the process is in, in the hierarchy in which systemd tracks it: cgroup2, or the one named
 * systemd. By /proc/self/cgroup and /proc/self/mountinfo; undefined: no service's. Pure.
 */
export function unitFolder(cgroups: string, mounts: string): string | undefined {
  const found = cgroups.split('\n').flatMap((line) => {
    const [, hierarchy, path] = /^\d+:(|name=systemd):(.*\.service)$/.exec(line) ?? [];
    const mount = hierarchy === undefined ? undefined : mountOf(mounts, hierarchy);
    if (path === undefined || mount === undefined) return [];
    const below = mount.root === '/' ? path : path.startsWith(`${mount.root}/`) && path.slice(mount.root.length);
    return below === false ? [] : [join(mount.at, below)];
  });
  return found[0];
}

function mountOf(mounts: string, hierarchy: string): { root: string; at: string } | undefined {
  for (const line of mounts.split('\n')) {
    const [fields = '', rest = ''] = line.split(' - ');
    const [, , , root, at] = fields.split(' ');
    const [type, , options = ''] = rest.split(' ');
    const isIt = hierarchy === '' ? type === 'cgroup2' : type === 'cgroup' && options.split(',').includes(hierarchy);
    if (isIt && root !== undefined && at !== undefined) return { root, at };
  }
  return undefined;
}

/** Does what starts a process (at once, not later): the process is in the cgroup from its first moment, and we are not. */
export function startedIn<T>(cgroup: string | undefined, start: () => T): T {
  if (cgroup === undefined || !enter(cgroup)) return start();
  try {
    return start();
  } finally {
    enter(join(cgroup, '..'));
  }
}

function enter(cgroup: string): boolean {
  try {
    const fd = openSync(join(cgroup, 'cgroup.procs'), 'w');
    try {
      writeSync(fd, String(process.pid));
    } finally {
      closeSync(fd);
    }
    return true;
  } catch {
    return false;
  }
}

/** Processes in the cgroup and in those below it, which a container runtime may have made. */
export function processesIn(cgroup: string): number[] {
  try {
    const own = readFileSync(join(cgroup, 'cgroup.procs'), 'utf8').split('\n').filter(Boolean).map(Number);
    const below = readdirSync(cgroup, { withFileTypes: true }).filter((entry) => entry.isDirectory());
    const all = [...own, ...below.flatMap(({ name }) => processesIn(join(cgroup, name)))];
    return all.filter((pid) => pid !== process.pid);
  } catch {
    return [];
  }
}

/** Takes the empty cgroup away; one that a daemon lives on in stays. */
export function removeCgroup(cgroup: string | undefined): void {
  try {
    if (cgroup !== undefined) rmdirSync(cgroup);
  } catch {
    // It is not empty.
  }
}
