import type { Host } from '../host/host.ts';

/** More are of no use to a person. */
const MOST = 20;

/** Processes that have their folder, their program or an open file at or below a path: `nginx (4711)`. */
export async function processesIn(path: string, { files }: Host, root: string): Promise<string[]> {
  const isIn = (target: string | undefined): boolean => target === path || (target?.startsWith(`${path}/`) ?? false);
  /** What ends meanwhile, or belongs to somebody else, is not looked at. */
  const linkOf = (link: string): Promise<string | undefined> => files.readLink(link).catch(() => undefined);

  async function uses(process: string): Promise<boolean> {
    for (const name of ['cwd', 'root', 'exe']) if (isIn(await linkOf(`${process}/${name}`))) return true;
    for (const fd of await files.list(`${process}/fd`).catch(() => []))
      if (isIn(await linkOf(`${process}/fd/${fd}`))) return true;
    return false;
  }

  const found: string[] = [];
  for (const pid of await files.list(`${root}/proc`)) {
    if (!/^\d+$/.test(pid) || !(await uses(`${root}/proc/${pid}`))) continue;
    const name = await files.read(`${root}/proc/${pid}/comm`).catch(() => undefined);
    found.push(`${name?.toString('utf8').trim() ?? 'a process'} (${pid})`);
    if (found.length === MOST) break;
  }
  return found;
}
