/**
 * The one place where the agent writes what must survive: a power cut (replace, rename, remove, sync), or the end of a
 * process (claim). Every write has a name of {@link WRITES}, so that a test can crash it between any two steps. System
 * errors (`ENOSPC`, `EROFS`, …) come out as they are.
 */
import { link, mkdir, open, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { crash } from '../../shared/crash.ts';
import type { Write } from './points.ts';

/** Tells this process's drafts apart. */
let drafts = 0;

/** How the new file is made; a mode that is not stated is 0600. */
export interface Making {
  mode?: number;
  uid?: number;
  gid?: number;
  /** Where the new content is written first: in the same folder, and nobody else's. */
  temporary?: string;
}

/** Makes a folder and its parents, 0700. */
export async function makePrivateFolder(path: string): Promise<void> {
  await mkdir(path, { recursive: true, mode: 0o700 });
}

/** As {@link sync}, within a write that has a name. */
export async function syncPath(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** What was written to the file or folder survives a power cut once this resolves. */
export async function sync(path: string, point: Write<'sync'>): Promise<void> {
  crash.at(`${point}.before`);
  await syncPath(path);
  crash.at(`${point}.after`);
}

/**
 * The file's content changes from old to new at once, whoever reads it and whatever crashes: temporary file beside it,
 * fsync, rename, fsync of the folder (without which the rename itself may be lost).
 */
export async function replace(
  path: string,
  content: string | Uint8Array | AsyncIterable<Uint8Array>,
  point: Write<'replace'>,
  { mode = 0o600, uid, gid, temporary = `${path}.${crypto.randomUUID()}.new` }: Making = {},
): Promise<void> {
  crash.at(`${point}.before`);
  try {
    const handle = await open(temporary, 'wx', 0o600);
    try {
      await handle.writeFile(content);
      // The owner first: chown takes set-uid bits away.
      if (uid !== undefined || gid !== undefined) await handle.chown(uid ?? -1, gid ?? -1);
      await handle.chmod(mode);
      crash.at(`${point}.written`);
      await handle.sync();
    } finally {
      await handle.close();
    }
    crash.at(`${point}.synced`);
    await rename(temporary, path);
  } catch (thrown) {
    await rm(temporary, { force: true });
    throw thrown;
  }
  crash.at(`${point}.renamed`);
  await syncPath(dirname(path));
  crash.at(`${point}.after`);
}

/** What is at `from` is at `to`, at once and durably; what was at `to` is gone. */
export async function move(from: string, to: string, point: Write<'rename'>): Promise<void> {
  crash.at(`${point}.before`);
  await rename(from, to);
  crash.at(`${point}.renamed`);
  await syncPath(dirname(to));
  crash.at(`${point}.after`);
}

/** The file is gone, durably; none there is fine. */
export async function remove(path: string, point: Write<'remove'>): Promise<void> {
  crash.at(`${point}.before`);
  await rm(path, { force: true });
  crash.at(`${point}.removed`);
  await syncPath(dirname(path));
  crash.at(`${point}.after`);
}

/**
 * The name appears with its whole content, or is somebody else's (false): as O_EXCL, but never seen half written. Not
 * synced: what it says is about a process, which a power cut ends too.
 */
export async function claim(path: string, content: string, point: Write<'claim'>): Promise<boolean> {
  drafts += 1;
  const draft = `${path}.${process.pid}.${drafts}`;
  crash.at(`${point}.before`);
  try {
    await writeFile(draft, content, { mode: 0o600 });
    crash.at(`${point}.written`);
    await link(draft, path);
    crash.at(`${point}.after`);
    return true;
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw thrown;
  } finally {
    await rm(draft, { force: true });
  }
}

/**
 * Takes away what a process that is gone has claimed. `dead` is what it says: if somebody else has claimed the name in the
 * meantime, the claim is given back.
 */
export async function takeAway(path: string, dead: string, point: Write<'rename'>): Promise<void> {
  drafts += 1;
  const aside = `${path}.${process.pid}.${drafts}`;
  crash.at(`${point}.before`);
  try {
    await rename(path, aside);
    crash.at(`${point}.renamed`);
    if ((await readFile(aside, 'utf8')) !== dead) await link(aside, path);
  } catch (thrown) {
    const { code } = thrown as NodeJS.ErrnoException;
    if (code !== 'ENOENT' && code !== 'EEXIST') throw thrown;
  } finally {
    await rm(aside, { force: true });
  }
  crash.at(`${point}.after`);
}
