import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, open, readdir, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { isSystemError, KkError } from '../../shared/errors.ts';
import type { PieceAnswer } from '../../shared/fetched.ts';
import { place } from '../durable/files.ts';

/** A piece of a file that comes from a node. */
export interface Arriving {
  /** Absolute: where the whole file comes. */
  path: string;
  sha256: string;
  size: number;
  offset: number;
  bytes: Uint8Array;
}

/** Files that nodes bring: pieces are gathered in the state folder, and the whole is put where it belongs at once. */
export interface Fetched {
  /** Throws KkError FETCH_CHANGED when the whole is not what its digest says, FETCH_NOT_WRITABLE, DISK_FULL. */
  take(piece: Arriving): Promise<PieceAnswer>;
}

/** Of a file that nobody went on bringing for so long, nothing is kept. */
const KEPT_MS = 24 * 3_600_000;

export async function fetchedFiles(folder: string, nowMs: () => number): Promise<Fetched> {
  await sweep(folder, nowMs() - KEPT_MS);
  const turns = new Map<string, Promise<void>>();
  return {
    take(piece) {
      const { path, sha256 } = piece;
      const part = join(folder, `${createHash('sha256').update(`${path}\0${sha256}`).digest('hex')}.part`);
      // Two nodes may bring the same file to one place, and one may ask again before its last question is done with.
      const turn = (turns.get(part) ?? Promise.resolve()).then(() => taken(folder, part, piece));
      const settled: Promise<void> = turn
        .then(
          () => {},
          () => {},
        )
        .then(() => {
          if (turns.get(part) === settled) turns.delete(part);
        });
      turns.set(part, settled);
      return turn;
    },
  };
}

async function taken(folder: string, part: string, piece: Arriving): Promise<PieceAnswer> {
  const { path, sha256, size, offset, bytes } = piece;
  try {
    // Asked with the first piece alone: it may be gigabytes to read.
    if (offset === 0 && (await digestOf(path, size)) === sha256) {
      await rm(part, { force: true });
      return { next: size, done: true, had: true };
    }
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const held = await grown(part, offset, bytes, size);
    if (held < size) return { next: held, done: false, had: false };
    if ((await digestOf(part, size)) !== sha256) {
      await rm(part, { force: true });
      throw changed(path);
    }
    await mkdir(dirname(path), { recursive: true });
    const copy = (draft: string): Promise<void> =>
      pipeline(createReadStream(part), createWriteStream(draft, { flags: 'wx', mode: 0o600 }));
    await place(path, copy, 'controller.fetched');
    await rm(part, { force: true });
    return { next: size, done: true, had: false };
  } catch (thrown) {
    if (thrown instanceof KkError) throw thrown;
    const error = notWritable(path, thrown);
    // What cannot be ended would fill the disk of the controller, which its database needs.
    if (error.report.code === 'DISK_FULL') await rm(part, { force: true }).catch(() => {});
    throw error;
  }
}

/** What was begun before that time, and cancelled or cut off for good. */
async function sweep(folder: string, beforeMs: number): Promise<void> {
  const names = await readdir(folder).catch((thrown: unknown) => {
    if (isSystemError(thrown, 'ENOENT')) return [];
    throw thrown;
  });
  for (const name of names) {
    const { mtimeMs } = await stat(join(folder, name));
    if (mtimeMs < beforeMs) await rm(join(folder, name), { force: true });
  }
}

/** Writes a piece where it belongs, if what comes before it is there; the bytes that are there then. */
async function grown(part: string, offset: number, bytes: Uint8Array, size: number): Promise<number> {
  const handle = await open(part, 'a+', 0o600);
  try {
    const held = (await handle.stat()).size;
    if (offset !== held || bytes.length === 0 || held + bytes.length > size) return held;
    await handle.writeFile(bytes);
    return held + bytes.length;
  } finally {
    await handle.close();
  }
}

/** Of a regular file of that size; undefined: there is none. */
async function digestOf(path: string, size: number): Promise<string | undefined> {
  const found = await stat(path).catch((thrown: unknown) => {
    if (isSystemError(thrown, 'ENOENT') || isSystemError(thrown, 'ENOTDIR')) return undefined;
    throw thrown;
  });
  if (found?.isFile() !== true || found.size !== size) return undefined;
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return hash.digest('hex');
}

function changed(path: string): KkError {
  return new KkError({
    code: 'FETCH_CHANGED',
    message: `What came for ${path} is not the file that was announced: it was changed while it was read.`,
    remedy: 'Fetch it again; of a log that grows, fetch a copy.',
  });
}

function notWritable(path: string, cause: unknown): KkError {
  const isFull = isSystemError(cause, 'ENOSPC') || isSystemError(cause, 'EDQUOT');
  return new KkError({
    code: isFull ? 'DISK_FULL' : 'FETCH_NOT_WRITABLE',
    message: `The controller cannot write ${path}: ${cause instanceof Error ? cause.message : cause}.`,
    remedy: isFull
      ? 'Free some space on that file system of the controller, then fetch again.'
      : 'Name a folder that the user of the controller may write to.',
    cause,
  });
}
