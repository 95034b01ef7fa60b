import { createHash, randomBytes } from 'node:crypto';
import { constants, type FSWatcher, type Stats, watch } from 'node:fs';
import {
  type FileHandle,
  lchown,
  lstat,
  mkdir,
  open,
  readdir,
  readFile,
  readlink,
  realpath,
  rm,
  rmdir,
  symlink,
} from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { isSystemError } from '../../shared/errors.ts';
import { move, replace } from '../durable/files.ts';
import { gidOf, uidOf } from './accounts.ts';
import type { FileStat, HostFiles } from './host.ts';

type Attributes = { mode?: number; uid?: number; gid?: number };

async function unlessAbsent<T>(what: Promise<T>): Promise<T | undefined> {
  try {
    return await what;
  } catch (thrown) {
    if (isSystemError(thrown, 'ENOENT') || isSystemError(thrown, 'ENOTDIR')) return undefined;
    throw thrown;
  }
}

async function stat(path: string): Promise<FileStat | undefined> {
  const found = await unlessAbsent(lstat(path));
  return found && statOf(found);
}

function statOf(found: Stats): FileStat {
  const kind = found.isFile()
    ? 'file'
    : found.isDirectory()
      ? 'directory'
      : found.isSymbolicLink()
        ? 'symlink'
        : 'other';
  return { kind, mode: found.mode & 0o7777, uid: found.uid, gid: found.gid, size: found.size, mtimeMs: found.mtimeMs };
}

/** A pipe without a writer would never open. */
const TO_READ = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/** What `read` makes of the regular file at a path; undefined: there is none. */
async function ofFile<T>(
  path: string,
  read: (handle: FileHandle, stat: FileStat) => Promise<T>,
): Promise<T | undefined> {
  let handle: FileHandle;
  try {
    handle = await open(path, TO_READ);
  } catch (thrown) {
    if (['ENOENT', 'ENOTDIR', 'ELOOP', 'ENXIO'].some((code) => isSystemError(thrown, code))) return undefined;
    throw thrown;
  }
  try {
    const found = statOf(await handle.stat());
    return found.kind === 'file' ? await read(handle, found) : undefined;
  } finally {
    await handle.close();
  }
}

function whole(path: string): Promise<{ stat: FileStat; content: Buffer } | undefined> {
  return ofFile(path, async (handle, found) => ({ stat: found, content: await handle.readFile() }));
}

/** Bytes that are in memory at once. */
const CHUNK = 256 * 1024;

function digest(path: string, signal?: AbortSignal): Promise<{ stat: FileStat; sha256: string } | undefined> {
  return ofFile(path, async (handle, found) => {
    const hash = createHash('sha256');
    for await (const bytes of handle.createReadStream({ autoClose: false, highWaterMark: CHUNK })) {
      signal?.throwIfAborted();
      hash.update(bytes as Buffer);
    }
    return { stat: found, sha256: hash.digest('hex') };
  });
}

async function* stream(path: string): AsyncGenerator<Uint8Array> {
  const handle = await open(path, TO_READ);
  try {
    if (!(await handle.stat()).isFile())
      throw Object.assign(new Error(`${path} is no regular file`), { code: 'EINVAL' });
    yield* handle.createReadStream({ autoClose: false, highWaterMark: CHUNK }) as AsyncIterable<Buffer>;
  } finally {
    await handle.close();
  }
}

/** Where this process writes; what else has such a name was left by one that was killed. */
const underWay = new Set<string>();

async function writeAtomic(
  path: string,
  content: Uint8Array | AsyncIterable<Uint8Array>,
  attributes: Attributes = {},
): Promise<void> {
  // Hidden, so that who watches the folder (kubelet its manifests, systemd its units) does not take it for a file of its own.
  // One name for a path, so that what a killed agent had written is found: it may be gigabytes.
  const name = basename(path);
  const usual = join(
    dirname(path),
    `.${name.slice(0, 200)}.kk-${createHash('sha256').update(name).digest('hex').slice(0, 12)}`,
  );
  const temporary = underWay.has(usual) ? `${usual}-${randomBytes(6).toString('hex')}` : usual;
  underWay.add(temporary);
  try {
    await rm(temporary, { force: true });
    await replace(path, content, 'agent.file', { mode: 0o644, ...attributes, temporary });
  } finally {
    underWay.delete(temporary);
  }
}

async function setKernelValue(path: string, value: string): Promise<void> {
  const handle = await open(path, constants.O_WRONLY | constants.O_TRUNC | constants.O_NOFOLLOW);
  try {
    await handle.write(value);
  } finally {
    await handle.close();
  }
}

/** Through an open handle: whoever may write to the folder could put a symlink to any file there between look and change. */
async function change(path: string, { mode, uid, gid }: Attributes, flags: number): Promise<void> {
  const handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK | flags);
  try {
    // The owner first: chown takes set-uid bits away.
    if (uid !== undefined || gid !== undefined) await handle.chown(uid ?? -1, gid ?? -1);
    if (mode !== undefined) await handle.chmod(mode);
  } finally {
    await handle.close();
  }
}

const setAttributes = (path: string, attributes: Attributes): Promise<void> =>
  change(path, attributes, constants.O_NOFOLLOW);

async function makeDirectory(path: string, attributes: Attributes = {}): Promise<void> {
  await mkdir(path, { recursive: true, mode: 0o755 });
  if (Object.keys(attributes).length === 0) return;
  const found = await lstat(path);
  // An administrator moves a data folder with a symlink; one that belongs to a user may point where that user wishes.
  const isLink = found.isSymbolicLink();
  if (isLink && found.uid !== 0 && found.uid !== process.getuid?.()) {
    throw Object.assign(new Error(`${path} is a symlink of user ${found.uid}`), { code: 'ELOOP' });
  }
  await change(path, attributes, constants.O_DIRECTORY | (isLink ? 0 : constants.O_NOFOLLOW));
}

async function makeNew(path: string, fill: (inside: string) => Promise<void>): Promise<void> {
  await mkdir(path, { mode: 0o700 });
  const handle = await open(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
  try {
    const { uid } = await handle.stat();
    if (uid !== process.getuid?.()) throw Object.assign(new Error(`${path} is of user ${uid}`), { code: 'EEXIST' });
    await fill(`/proc/self/fd/${handle.fd}`);
  } finally {
    await handle.close();
  }
}

async function removeEmpty(path: string): Promise<boolean> {
  try {
    await rmdir(path);
    return true;
  } catch (thrown) {
    if (isSystemError(thrown, 'ENOENT')) return true;
    if (isSystemError(thrown, 'ENOTEMPTY') || isSystemError(thrown, 'EEXIST')) return false;
    throw thrown;
  }
}

function changed(path: string, { timeoutMs, signal }: { timeoutMs: number; signal?: AbortSignal }): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  if (signal?.aborted) return Promise.reject(signal.reason);
  const timer = setTimeout(resolve, timeoutMs);
  const aborted = () => reject(signal?.reason);
  signal?.addEventListener('abort', aborted);
  let watcher: FSWatcher | undefined;
  try {
    const name = basename(path);
    watcher = watch(dirname(path), (_, entry) => {
      if (entry === null || entry === name) resolve();
    }).on('error', () => {});
  } catch {
    // No such folder yet, or no inotify watch left: the timeout is the poll.
  }
  return promise.finally(() => {
    clearTimeout(timer);
    watcher?.close();
    signal?.removeEventListener('abort', aborted);
  });
}

/** The files of this machine. System errors come out as they are. */
export const hostFiles: HostFiles = {
  read: (path) => unlessAbsent(readFile(path)),
  stat,
  whole,
  digest,
  stream,
  real: (path) => unlessAbsent(realpath(path)),
  list: async (path) => ((await unlessAbsent(readdir(path))) ?? []).sort(),
  writeAtomic,
  setKernelValue,
  makeDirectory,
  setAttributes,
  remove: (path) => rm(path, { recursive: true, force: true }),
  rename: (from, to) => move(from, to, 'agent.file.moved'),
  makeNew,
  removeEmpty,
  readLink: async (path) => ((await stat(path))?.kind === 'symlink' ? unlessAbsent(readlink(path)) : undefined),
  async makeLink(path, target, { uid, gid }) {
    await symlink(target, path);
    await lchown(path, uid, gid);
  },
  changed,
  uidOf,
  gidOf,
};
