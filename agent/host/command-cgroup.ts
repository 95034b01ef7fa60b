/**
 * A cgroup of a command's own, so that what it starts can be ended with it even where that left its session (setsid). Below
 * the agent's own unit, which systemd delegates to it; of no other cgroup may we make children. No controller is used, so it
 * bounds nothing: it only counts who belongs to the command.
 */
import { closeSync, mkdirSync, openSync, readdirSync, readFileSync, rmdirSync, writeSync } from 'node:fs';
import { join } from 'node:path';

/**
 * Makes a cgroup of that name and goes into it, so that what is started is in it from its first moment; undefined: there is
 * none to be had here. It takes 10 ms: the kernel waits until all its CPUs have noticed.
 */
export function enterCgroup(name: string): string | undefined {
  try {
    const unit = unitFolder(readFileSync('/proc/self/cgroup', 'utf8'), readFileSync('/proc/self/mountinfo', 'utf8'));
    if (unit === undefined) return undefined;
    const cgroup = join(unit, name);
    mkdirSync(cgroup);
    if (enter(cgroup)) return cgroup;
    rmdirSync(cgroup);
  } catch {
    // It is not ours to make.
  }
  return undefined;
}

/** Goes back to the unit's, and takes the cgroup away; one that a daemon lives on in stays. */
export function leaveCgroup(cgroup: string | undefined): void {
  if (cgroup === undefined) return;
  enter(join(cgroup, '..'));
  try {
    rmdirSync(cgroup);
  } catch {
    // It is not empty.
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

/** Processes in the cgroup but our own, and in those below it, which a container runtime may have made. */
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
