import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { KkError } from '../../shared/errors.ts';
import { cgroupFolders, clearCgroups, removeEmptyCgroups, removeIfEmpty } from './cgroups.ts';
import { run, withLock } from './commands.ts';
import { CGROUP_PARENT, type Lab, type LabRef, labOf, nodeOf } from './names.ts';
import { closeNat } from './nat.ts';
import { networkLeftovers, removeNetwork } from './network.ts';
import { eraseNode, loopDevices, nodeNumbers, processesOf } from './node-process.ts';
import { otherLabs, recordOf } from './record.ts';
import { restoreSysctls } from './sysctls.ts';

/**
 * Take the lab away with everything that belongs to it; with the last lab the host's settings are set back as well.
 * The base stays, unless `cache` says that it goes too.
 * @throws KkError LAB_LEFTOVERS naming what would not go, LAB_CACHE_IN_USE
 */
export async function labDestroy(ref: LabRef, options: { cache?: boolean } = {}): Promise<void> {
  const lab = labOf(ref);
  const left = await withLock(async () => {
    const others = otherLabs(lab);
    if (options.cache && others.length > 0) {
      throw new KkError({
        code: 'LAB_CACHE_IN_USE',
        message: `The base is shared with ${others.map((name) => `'${name}'`).join(', ')}.`,
        remedy: 'Destroy those labs first, or leave --all out.',
      });
    }
    await Promise.all(nodeNumbers(lab).map((number) => eraseNode(nodeOf(lab, number))));
    await removeNetwork(lab);
    await closeNat(lab);
    await clearCgroups(lab.cgroup);
    // Only what labUp made is deleted: --state may name a folder with other things in it.
    if (recordOf(lab) !== undefined) rmSync(lab.stateDir, { recursive: true, force: true });
    removeIfEmpty(lab.stateRoot);
    if (options.cache) removeCache(lab.cacheDir);
    return [...(others.length === 0 ? await removeTraces() : []), ...(await leftovers(lab))];
  });
  if (left.length > 0) {
    throw new KkError({
      code: 'LAB_LEFTOVERS',
      message: `Lab '${lab.name}' is gone except for: ${left.join(', ')}.`,
      remedy: 'Run `lab destroy` again; if it stays, remove it by hand.',
    });
  }
}

function removeCache(folder: string): void {
  const names = existsSync(folder)
    ? readdirSync(folder).filter((name) => /^(base-|build\.lock$|kubernetes$)/.test(name))
    : [];
  for (const name of names) rmSync(join(folder, name), { recursive: true, force: true });
  removeIfEmpty(folder);
}

/** What several labs share, removed with the last one; names what would not go. */
async function removeTraces(): Promise<string[]> {
  const failed = restoreSysctls().map((key) => `setting ${key}`);
  removeEmptyCgroups(CGROUP_PARENT);
  removeIfEmpty('/run/systemd/nspawn/propagate');
  removeIfEmpty('/run/systemd/nspawn');
  // `ip netns` mounts its folder on itself the first time; with no namespace left it has no use.
  if (existsSync('/run/netns') && readdirSync('/run/netns').length === 0) {
    await run(['umount', '/run/netns']);
    removeIfEmpty('/run/netns');
  }
  return failed;
}

async function leftovers(lab: Lab): Promise<string[]> {
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
  return [
    ...(await networkLeftovers(lab)),
    ...(await loopDevices(lab.stateDir)),
    ...cgroupFolders(lab.cgroup),
    ...processesOf(lab).map((pid) => `process ${pid}`),
    ...mounts.flatMap((line) => line.split(' ')[4] ?? []).filter((path) => path.startsWith(`${lab.stateDir}/`)),
  ];
}
