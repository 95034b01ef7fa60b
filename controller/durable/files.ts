/**
 * The one place where the controller writes files that must survive: a power cut (replace), or the end of a process
 * (claim). Its database does so itself. Every write has a name of {@link WRITES}, so that a test can crash it between any
 * two steps. System errors (`ENOSPC`, `EROFS`, …) come out as they are.
 */
import { randomUUID } from 'node:crypto';
import { link, open, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { crash } from '../../shared/crash.ts';
import type { Write } from './points.ts';

/** Tells this process's drafts apart. */
let drafts = 0;

/**
 * The file's content changes from old to new at once, whatever crashes: temporary file beside it, fsync, rename, fsync of
 * the folder (without which the rename itself may be lost).
 */
export async function replace(
  path: string,
  content: string | Uint8Array,
  mode: number,
  point: Write<'replace'>,
): Promise<void> {
  const temporary = `${path}.${randomUUID()}.tmp`;
  crash.at(`${point}.before`);
  try {
    const file = await open(temporary, 'wx', mode);
    try {
      await file.writeFile(content);
      crash.at(`${point}.written`);
      await file.sync();
    } finally {
      await file.close();
    }
    crash.at(`${point}.synced`);
    await rename(temporary, path);
  } catch (thrown) {
    await rm(temporary, { force: true });
    throw thrown;
  }
  crash.at(`${point}.renamed`);
  await syncOne(dirname(path));
  crash.at(`${point}.after`);
}

/**
 * A file, or a folder with all that is in it, appears whole whatever crashes. `make` makes it under the draft's name, beside
 * it. A folder takes the place of an empty one.
 */
export async function place(
  path: string,
  make: (draft: string) => Promise<void>,
  point: Write<'replace'>,
): Promise<void> {
  const draft = `${path}.${randomUUID()}.tmp`;
  crash.at(`${point}.before`);
  try {
    await make(draft);
    crash.at(`${point}.written`);
    await syncTree(draft);
    crash.at(`${point}.synced`);
    await rename(draft, path);
  } catch (thrown) {
    await rm(draft, { recursive: true, force: true, maxRetries: 5 });
    throw thrown;
  }
  crash.at(`${point}.renamed`);
  await syncOne(dirname(path));
  crash.at(`${point}.after`);
}

/** As {@link place}, of a file that is on the same file system under another name; that name is gone then. */
export function moveIn(path: string, from: string, point: Write<'replace'>): Promise<void> {
  return place(path, (draft) => rename(from, draft), point);
}

async function syncTree(path: string): Promise<void> {
  if ((await stat(path)).isDirectory()) for (const name of await readdir(path)) await syncTree(join(path, name));
  await syncOne(path);
}

async function syncOne(path: string): Promise<void> {
  const file = await open(path, 'r');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
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
