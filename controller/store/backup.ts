import { chmod, cp, mkdir, mkdtemp, open, readdir, readFile, rm, stat, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { backup, DatabaseSync } from 'node:sqlite';
import { create, extract, list, type ReadEntry } from 'tar';
import { z } from 'zod';
import { isSystemError, KkError } from '../../shared/errors.ts';
import { place } from '../durable/files.ts';
import { openAuthority } from '../pki/authority.ts';
import { MIGRATIONS } from './schema.ts';

/** What a backup says of itself. */
const Manifest = z.strictObject({
  format: z.literal(1),
  /** Of kk-controller. */
  version: z.string(),
  fleetId: z.string(),
  created: z.string(),
  /** Live output of the commands of runs. */
  logs: z.boolean(),
});
export type Manifest = z.infer<typeof Manifest>;

const DATABASE = 'controller.db';
/** More than a database has. */
const ALL_PAGES = 2 ** 31 - 1;
const MANIFEST = 'manifest.json';
/** What is being written of a file (controller/durable). */
const DRAFT = /\.[0-9a-f-]{36}\.tmp$/;
/** Made by a CA at its first use, and never lost by a backup; root.key may have been moved away. */
const PKI = [
  'fleet-id',
  'root.crt',
  'issuing.key',
  'issuing.crt',
  'generation.key',
  'controller.key',
  'controller.crt',
];
/** All that a backup may hold; anything else in it is refused. */
const ENTRY =
  /^(manifest\.json|controller\.db|kubeconfigs\/?|kubeconfigs\/[\w.-]+\.yaml|kubeconfigs\/before\/?|kubeconfigs\/before\/[\w.-]+\.json|pki\/?|pki\/[a-z-]+(\.[a-z]+)?|pki\/clusters(\/[\w.-]+){0,2}\/?|runs\/?|runs\/[\w-]+\/?|runs\/[\w-]+\/[\w.-]+\.ndjson)$/;

/**
 * Writes the state of `folder` into one .tar.gz, readable by its owner alone: it holds the CA's keys. The database is copied
 * as it is at one moment, also while a controller writes it. Throws KkError BACKUP_EXISTS, BACKUP_NOT_WRITABLE.
 */
export async function writeBackup(
  folder: string,
  file: string,
  about: Omit<Manifest, 'format' | 'fleetId'>,
): Promise<Manifest> {
  await checkFree(file);
  const staging = await mkdtemp(join(folder, 'backup-'));
  try {
    const fleetId = (await readFile(join(folder, 'pki', 'fleet-id'), 'utf8')).trim();
    const manifest: Manifest = { format: 1, fleetId, ...about };
    await writeOwn(join(staging, MANIFEST), JSON.stringify(manifest));
    await writeOwn(join(staging, DATABASE), '');
    await copyDatabase(join(folder, DATABASE), join(staging, DATABASE));
    await cp(join(folder, 'pki'), join(staging, 'pki'), { recursive: true });
    const hasLogs = about.logs && (await readdir(join(folder, 'runs')).catch(() => [])).length > 0;
    if (hasLogs) await symlink(join(folder, 'runs'), join(staging, 'runs'));
    const hasClusters = (await readdir(join(folder, 'kubeconfigs')).catch(() => [])).length > 0;
    if (hasClusters) await cp(join(folder, 'kubeconfigs'), join(staging, 'kubeconfigs'), { recursive: true });
    const entries = [MANIFEST, DATABASE, 'pki', ...(hasClusters ? ['kubeconfigs'] : []), ...(hasLogs ? ['runs'] : [])];
    // Links are followed: logs can be large and are not copied twice. What is being written of a file is left out.
    const filter = (path: string): boolean => !DRAFT.test(path);
    const pack = async (draft: string): Promise<void> => {
      // Nobody else may read it, from its first byte on.
      await writeOwn(draft, '');
      await create({ file: draft, cwd: staging, gzip: true, portable: true, follow: true, filter }, entries);
    };
    await place(file, pack, 'controller.backup');
    return manifest;
  } catch (thrown) {
    throw thrown instanceof KkError ? thrown : notWritable(file, thrown);
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
}

async function checkFree(file: string): Promise<void> {
  if (!(await stat(file).catch(() => undefined))) return;
  throw new KkError({
    code: 'BACKUP_EXISTS',
    message: `${file} is there already.`,
    remedy: 'Name another file: an older backup is not overwritten.',
  });
}

async function writeOwn(path: string, content: string): Promise<void> {
  const file = await open(path, 'wx', 0o600);
  await file.writeFile(content).finally(() => file.close());
}

async function copyDatabase(from: string, to: string): Promise<void> {
  const source = new DatabaseSync(from, { readOnly: true });
  try {
    // All pages in one step: a copy in several would begin anew with each write of the controller.
    await backup(source, to, { rate: ALL_PAGES });
  } finally {
    source.close();
  }
}

/**
 * Makes a state folder of a backup. Everything is looked at before it takes the folder's place: no entry leads elsewhere, the
 * database is whole and of a version that this kk knows, keys fit their certificates.
 * Throws KkError STATE_NOT_EMPTY, BACKUP_DAMAGED, STATE_NEWER, STATE_NOT_WRITABLE.
 */
export async function restoreBackup(file: string, folder: string, nowMs: () => number): Promise<Manifest> {
  await checkEmpty(folder);
  const read: { manifest?: Manifest } = {};
  const unfold = async (draft: string): Promise<void> => {
    await mkdir(draft, { recursive: true, mode: 0o700 });
    await unpack(file, draft);
    read.manifest = await checkContent(file, draft, nowMs);
    for (const name of [MANIFEST, `${DATABASE}-shm`, `${DATABASE}-wal`]) await rm(join(draft, name), { force: true });
  };
  try {
    await place(folder, unfold, 'controller.restore');
  } catch (thrown) {
    if (thrown instanceof KkError) throw thrown;
    throw new KkError({
      code: 'STATE_NOT_WRITABLE',
      message: `The state folder ${folder} cannot be made: ${thrown instanceof Error ? thrown.message : thrown}.`,
      remedy:
        'Run as the user who will run the controller, make room on the disk, or give another folder with --state.',
      cause: thrown,
    });
  }
  if (!read.manifest) throw damaged(file, 'it was not read');
  return read.manifest;
}

async function checkEmpty(folder: string): Promise<void> {
  const found = await readdir(folder).catch((thrown: unknown): string[] => {
    if (isSystemError(thrown, 'ENOENT')) return [];
    throw thrown;
  });
  if (found.length === 0) return;
  throw new KkError({
    code: 'STATE_NOT_EMPTY',
    message: `The state folder ${folder} is not empty.`,
    remedy: found.includes('controller.lock')
      ? 'Stop its controller and move the folder away first, or give another folder with --state.'
      : 'Move it away first, or give another folder with --state.',
  });
}

/** The whole archive is read before a byte of it is written. */
async function unpack(file: string, to: string): Promise<void> {
  let foreign: string | undefined;
  const onReadEntry = ({ path, type }: ReadEntry): void => {
    if (!ENTRY.test(path) || path.split('/').includes('..') || (type !== 'File' && type !== 'Directory'))
      foreign ??= path;
  };
  try {
    await list({ file, strict: true, onReadEntry });
    if (foreign === undefined) await extract({ file, cwd: to, strict: true, preserveOwner: false });
  } catch (thrown) {
    throw damaged(file, thrown instanceof Error ? thrown.message : String(thrown));
  }
  if (foreign !== undefined) throw damaged(file, `it holds "${foreign.slice(0, 200)}", which no backup does`);
  // Everything is the owner's alone, whatever the archive says.
  for (const entry of await readdir(to, { recursive: true, withFileTypes: true }))
    await chmod(join(entry.parentPath, entry.name), entry.isDirectory() ? 0o700 : 0o600);
}

async function checkContent(file: string, staging: string, nowMs: () => number): Promise<Manifest> {
  const text = await readFile(join(staging, MANIFEST), 'utf8').catch(() => '');
  const manifest = Manifest.safeParse(parsed(text));
  if (!manifest.success) throw damaged(file, 'its manifest is missing or of another kind');
  const pki = await readdir(join(staging, 'pki')).catch((): string[] => []);
  const missing = PKI.find((name) => !pki.includes(name));
  if (missing !== undefined) throw damaged(file, `pki/${missing} is missing`);
  await openAuthority(join(staging, 'pki'), { clock: nowMs, fleetId: manifest.data.fleetId });
  checkDatabase(file, join(staging, DATABASE));
  return manifest.data;
}

function checkDatabase(file: string, path: string): void {
  let version: number;
  try {
    const database = new DatabaseSync(path);
    try {
      const [found] = database.prepare('PRAGMA quick_check').all();
      if (found?.['quick_check'] !== 'ok') throw new Error(String(found?.['quick_check']));
      version = Number(database.prepare('PRAGMA user_version').get()?.['user_version']);
    } finally {
      database.close();
    }
  } catch (thrown) {
    throw damaged(file, `its database is not whole (${thrown instanceof Error ? thrown.message : thrown})`);
  }
  if (version >= 1 && version <= MIGRATIONS.length) return;
  throw new KkError({
    code: 'STATE_NEWER',
    message: `${file} was written by a newer kk-controller (state version ${version}, this one knows up to ${MIGRATIONS.length}).`,
    remedy: 'Restore it with that version.',
  });
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function damaged(file: string, why: string): KkError {
  return new KkError({
    code: 'BACKUP_DAMAGED',
    message: `${file} is no whole backup: ${why}.`,
    remedy: 'Take another backup; nothing was restored.',
  });
}

function notWritable(file: string, cause: unknown): KkError {
  return new KkError({
    code: 'BACKUP_NOT_WRITABLE',
    message: `The backup ${file} cannot be written: ${cause instanceof Error ? cause.message : cause}.`,
    remedy: 'Name a file in a folder that the user of the controller may write, on a disk with room.',
    cause,
  });
}
