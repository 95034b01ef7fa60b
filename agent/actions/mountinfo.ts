/** What is mounted (proc_pid_mountinfo(5)). Pure. */
import { fromOctal } from './octal.ts';

export interface Mounted {
  path: string;
  /** `major:minor`: the same for all places where a file system is mounted. */
  device: string;
  /** Of the file system, the folder that is seen here; `/`: all of it. */
  root: string;
  type: string;
  source: string;
  /** Of this place: ro, noexec, relatime, … */
  options: string[];
  /** Of the file system, wherever it is mounted. */
  superOptions: string[];
}

export function parseMountinfo(text: string): Mounted[] {
  return text.split('\n').flatMap((line) => {
    const [before = '', after = ''] = line.split(' - ');
    const [, , device = '', root = '', path = '', options = ''] = before.split(' ');
    const [type = '', source = '', superOptions = ''] = after.split(' ');
    if (path === '' || type === '') return [];
    const mounted = { path: fromOctal(path), device, root: fromOctal(root), type, source: fromOctal(source) };
    return [{ ...mounted, options: options.split(','), superOptions: superOptions.split(',').map(fromOctal) }];
  });
}

/** What is seen at a path: of several that were mounted over each other the last. */
export function mountedAt(all: readonly Mounted[], path: string): Mounted | undefined {
  return all.findLast((one) => one.path === path);
}

/** The mount that a path lies in, and the path within its file system. */
export function placeOf(all: readonly Mounted[], path: string): { mount: Mounted; inside: string } | undefined {
  const around = all.filter((one) => one.path === '/' || path === one.path || path.startsWith(`${one.path}/`));
  const mount = around.reduce<Mounted | undefined>(
    (best, one) => (best === undefined || one.path.length >= best.path.length ? one : best),
    undefined,
  );
  if (mount === undefined) return undefined;
  const below = mount.path === '/' ? path : path.slice(mount.path.length);
  const inside = `${mount.root === '/' ? '' : mount.root}${below}`;
  return { mount, inside: inside === '' ? '/' : inside };
}

/** Options that a place has for itself and that are told as they were given. */
const OF_PLACE: Readonly<Record<string, { on: string; off?: string }>> = {
  ro: { on: 'ro' },
  rw: { on: 'rw' },
  noexec: { on: 'noexec' },
  exec: { on: 'exec', off: 'noexec' },
  nosuid: { on: 'nosuid' },
  suid: { on: 'suid', off: 'nosuid' },
  nodev: { on: 'nodev' },
  dev: { on: 'dev', off: 'nodev' },
  noatime: { on: 'noatime' },
  nodiratime: { on: 'nodiratime' },
  relatime: { on: 'relatime' },
};

/** Of the options that are wanted, those that the place does not have; the others cannot be told from outside. */
export function optionsLacking(wanted: string, { options, superOptions }: Mounted): string[] {
  return wanted.split(',').filter((option) => {
    const known = OF_PLACE[option];
    if (known === undefined) return false;
    if (known.off !== undefined) return options.includes(known.off);
    // A file system that is read-only is so wherever it is mounted.
    if (option === 'rw') return options.includes('ro') || superOptions.includes('ro');
    return !options.includes(known.on);
  });
}
