import { createHash } from 'node:crypto';
import { constants, createReadStream } from 'node:fs';
import { access, chmod, copyFile, link, mkdir, readdir, readlink, rm, symlink } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { isSystemError, KkError } from '../../shared/errors.ts';
import { move, replace, sync } from '../durable/files.ts';

/** What placing did. */
export interface Placed {
  /** Name of the version's folder: `<version>-<first 8 of the executable's sha256>`. */
  release: string;
  /** The release `current` named before; absent at the first installation. */
  previous?: string;
  /** False: this release was there and runs. True also when an earlier installation was cut short. */
  changed: boolean;
}

const CURRENT = 'current';
/** The release that watches over an upgrade: kk-agent-upgrade.service starts it by this name. */
const GUARD = 'guard';
/** There as long as an installation is not whole: the agent that runs may be the one of before. */
const UNFINISHED = '.unfinished';
const NAME = 'kk-agent';

/**
 * Puts `executable` below `library` and lets `current` name it, both atomically: whoever starts the agent at any moment
 * starts the whole old or the whole new one. The release before is kept to go back to, older ones are removed. The
 * digest in the folder's name keeps two builds of one version apart. Throws KkError DISK_FULL, NOT_WRITABLE.
 */
export async function placeExecutable(executable: string, version: string, library: string): Promise<Placed> {
  try {
    const release = `${version}-${(await digestOf(executable)).slice(0, 8)}`;
    const previous = await currentRelease(library);
    await mkdir(library, { recursive: true });
    const cutShort = await isThere(join(library, UNFINISHED));
    await replace(join(library, UNFINISHED), '', 'agent.install.unfinished');
    const there = await digestOf(join(library, release, NAME)).catch(() => undefined);
    if (there === undefined || !release.endsWith(there.slice(0, 8))) await copyInto(executable, library, release);
    if (previous !== release) await pointTo(library, CURRENT, release);
    // Installed again, this release is not the one to go back to: then the one before it stays.
    if (previous !== release) await forgetOlder(library, [release, previous]);
    return { release, changed: cutShort || previous !== release, ...(previous === undefined ? {} : { previous }) };
  } catch (cause) {
    throw placingFailed(library, cause);
  }
}

/** The executable is in place and runs: the next installation need not finish this one. */
export async function finishPlacing(library: string): Promise<void> {
  await rm(join(library, UNFINISHED), { force: true });
}

/** The guard of an upgrade is this release's executable, whatever `current` is. */
export async function guardBy(library: string, release: string): Promise<void> {
  await pointTo(library, GUARD, release);
}

/** Forgets a release that did not work. */
export async function forgetRelease(library: string, release: string): Promise<void> {
  if ((await currentRelease(library)) !== release) await rm(join(library, release), { recursive: true, force: true });
}

async function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

async function currentRelease(library: string): Promise<string | undefined> {
  const target = await readlink(join(library, CURRENT)).catch(() => undefined);
  return target === undefined ? undefined : basename(target);
}

/**
 * What the join script unpacked below `library` is nobody else's and is linked; anything else is copied, for its owner may
 * write to it again. The folder appears under its name when it is whole.
 */
async function copyInto(executable: string, library: string, release: string): Promise<void> {
  const making = join(library, `.${release}.making`);
  await rm(making, { recursive: true, force: true });
  await mkdir(making, { recursive: true, mode: 0o755 });
  const target = join(making, NAME);
  if (executable.startsWith(`${library}/`)) await link(executable, target);
  else await copyFile(executable, target, constants.COPYFILE_FICLONE);
  await chmod(target, 0o755);
  await sync(target, 'agent.install.executable');
  await rm(join(library, release), { recursive: true, force: true });
  await move(making, join(library, release), 'agent.install.release');
}

/** Puts the current executable on the PATH of people who log in; a file of somebody else's is left alone. */
export async function linkCommand(library: string, commands: string): Promise<void> {
  const target = join(library, CURRENT, NAME);
  const there = await readlink(join(commands, NAME)).catch((thrown: unknown) => {
    return isSystemError(thrown, 'ENOENT') ? undefined : target;
  });
  if (there !== target) await pointTo(commands, NAME, target);
}

async function pointTo(folder: string, name: string, target: string): Promise<void> {
  const next = join(folder, `.${name}.making`);
  await mkdir(folder, { recursive: true });
  await rm(next, { force: true });
  await symlink(target, next);
  await move(next, join(folder, name), 'agent.install.link');
}

async function forgetOlder(library: string, keep: readonly (string | undefined)[]): Promise<void> {
  for (const entry of await readdir(library, { withFileTypes: true })) {
    if (!entry.isDirectory() || entry.name.startsWith('.') || keep.includes(entry.name)) continue;
    await rm(join(library, entry.name), { recursive: true, force: true });
  }
}

async function digestOf(path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return hash.digest('hex');
}

function placingFailed(library: string, cause: unknown): unknown {
  if (isSystemError(cause, 'ENOSPC') || isSystemError(cause, 'EDQUOT')) {
    return new KkError({
      code: 'DISK_FULL',
      message: `The agent does not fit into ${library}.`,
      remedy: `Make 300 MB of room in the file system of ${library} and install again.`,
      cause,
    });
  }
  if (isSystemError(cause, 'EROFS') || isSystemError(cause, 'EACCES') || isSystemError(cause, 'EPERM')) {
    return new KkError({
      code: 'NOT_WRITABLE',
      message: `${library} cannot be written.`,
      remedy: `Install as root, on a machine whose ${library} is not read-only.`,
      evidence: (cause as Error).message,
      cause,
    });
  }
  return cause;
}
