/**
 * Files by their sha256, in the agent's state folder: what plans bring and what is downloaded lies here once, whoever asks
 * for it again. `<sha256>` is whole; `<sha256>.part` is the beginning of one, from which a later pull goes on;
 * `<random>.once` that of one whose digest nobody knows.
 */
import { createHash, randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readdir, rename, rm, stat, statfs, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { isSystemError, KkError } from '../../shared/errors.ts';
import { makePrivateFolder } from '../durable/files.ts';
import { type PullOptions, pull, TooLarge } from './pull.ts';
import type { Source } from './source.ts';
import { Throttle } from './throttle.ts';

const NAME = /^[0-9a-f]{64}$/;
const PART = /^[0-9a-f]{64}\.part$/;
/** Of a file whose digest nobody knows: nobody goes on with it. */
const ONCE = /^[0-9a-f]{64}\.once$/;

export interface CacheOptions {
  /** `files` in the agent's state folder. */
  folder: string;
  /** Bytes of all files together; what was not used for longest goes first, what is in use stays. */
  limit: number;
  /** Bytes a second that are pulled at most, of all steps together; undefined: no limit. */
  bytesPerSecond: number | undefined;
  /** Waits; rejects with the signal's reason. */
  pause: (ms: number, signal: AbortSignal) => Promise<void>;
  /** Monotonic milliseconds. */
  monotonicMs: () => number;
}

/** What is wanted, from where, and who is told how far it is. */
export interface Wanted {
  sha256: string;
  /** Bytes; undefined: not known before. */
  size: number | undefined;
  source: Source;
  signal: AbortSignal;
  onBytes?: PullOptions['onBytes'];
}

const NEVER = new AbortController().signal;

export class FileCache {
  readonly #options: CacheOptions;
  readonly #throttle: Throttle;
  #opened: Promise<void> | undefined;
  /** Digests in use, with how many use each: they are not removed. */
  readonly #held = new Map<string, number>();
  readonly #pulls = new Map<string, Promise<void>>();

  constructor(options: CacheOptions) {
    this.#options = options;
    this.#throttle = new Throttle({
      bytesPerSecond: options.bytesPerSecond,
      nowMs: options.monotonicMs,
      pause: (ms) => options.pause(ms, NEVER),
    });
  }

  /** Is the whole file here? It may be damaged: who reads it finds out. */
  async has(sha256: string): Promise<boolean> {
    await this.#open();
    return (await sizeOf(this.#path(sha256))) !== undefined;
  }

  /**
   * Has `work` done with the whole file, pulled first if it is not here; it is not removed meanwhile. What turns out to be
   * damaged is pulled anew, and `work` done once more. Throws what the source throws, BLOB_WRONG_SHA256 when something else came, DISK_FULL, and the signal's reason.
   */
  async use<T>(wanted: Wanted, work: (path: string) => Promise<T>): Promise<T> {
    const { sha256 } = wanted;
    this.#held.set(sha256, (this.#held.get(sha256) ?? 0) + 1);
    try {
      await this.#open();
      const there = await sizeOf(this.#path(sha256));
      if (there !== undefined && wanted.size !== undefined && there !== wanted.size)
        await rm(this.#path(sha256), { force: true });
      try {
        return await this.#worked(wanted, work);
      } catch (thrown) {
        // Found out while it was read, and removed: a power cut spoils what was not synced.
        if (!(thrown instanceof KkError) || thrown.code !== 'BLOB_DAMAGED') throw thrown;
        return await this.#worked(wanted, work);
      }
    } finally {
      const users = (this.#held.get(sha256) ?? 1) - 1;
      if (users > 0) this.#held.set(sha256, users);
      else this.#held.delete(sha256);
      await this.#evict(0);
    }
  }

  async #worked<T>(wanted: Wanted, work: (path: string) => Promise<T>): Promise<T> {
    const path = this.#path(wanted.sha256);
    while ((await sizeOf(path)) === undefined) await this.#pulled(wanted);
    const now = Date.now() / 1000;
    await utimes(path, now, now);
    return await work(path);
  }

  /** A file whose digest nobody knows: pulled anew each time, and named by what came. */
  async keep(wanted: Omit<Wanted, 'sha256' | 'size'>): Promise<string> {
    await this.#open();
    const part = join(this.#options.folder, `${randomBytes(32).toString('hex')}.once`);
    try {
      const { sha256 } = await this.#pull(part, { ...wanted, size: undefined });
      await this.#place(part, sha256);
      return sha256;
    } finally {
      await rm(part, { force: true });
    }
  }

  /**
   * The bytes of a file that {@link use} holds, as they are read. Rejects with BLOB_DAMAGED at their end when they are not what
   * their name says; the file is then gone, and is pulled anew.
   */
  async *read(sha256: string): AsyncGenerator<Uint8Array> {
    const hash = createHash('sha256');
    for await (const chunk of createReadStream(this.#path(sha256), { highWaterMark: 256 * 1024 })) {
      hash.update(chunk as Buffer);
      yield chunk as Buffer;
    }
    if (hash.digest('hex') === sha256) return;
    await rm(this.#path(sha256), { force: true });
    throw new KkError({
      code: 'BLOB_DAMAGED',
      message: `${this.#path(sha256)} was damaged on the disk of this node; it is removed.`,
      remedy: 'Run again: it is brought anew. If it happens more than once, see the disk (dmesg, smartctl).',
    });
  }

  #path(sha256: string): string {
    if (!NAME.test(sha256)) throw new Error(`${sha256} is no sha256`);
    return join(this.#options.folder, sha256);
  }

  #open(): Promise<void> {
    this.#opened ??= this.#prepare();
    return this.#opened;
  }

  async #prepare(): Promise<void> {
    const { folder } = this.#options;
    await makePrivateFolder(folder);
    for (const name of await readdir(folder)) if (ONCE.test(name)) await rm(join(folder, name), { force: true });
    await this.#evict(0);
  }

  /** One pull of a file at a time, whoever wants it: the others wait for it, and pull themselves if it fails. */
  async #pulled(wanted: Wanted): Promise<void> {
    const { sha256, signal } = wanted;
    const under = this.#pulls.get(sha256);
    if (under !== undefined) {
      await Promise.race([under.catch(() => {}), aborted(signal)]);
      signal.throwIfAborted();
      return;
    }
    const work = this.#bring(wanted);
    this.#pulls.set(sha256, work);
    try {
      await work;
    } finally {
      this.#pulls.delete(sha256);
    }
  }

  async #bring(wanted: Wanted): Promise<void> {
    const { sha256, size } = wanted;
    const part = `${this.#path(sha256)}.part`;
    const before = (await sizeOf(part)) ?? 0;
    if (size !== undefined && before > size) await rm(part, { force: true });
    await this.#evict(Math.max(0, (size ?? 0) - before));
    await this.#checkRoom(Math.max(0, (size ?? 0) - before));
    let came = await this.#pull(part, wanted);
    if (came.sha256 !== sha256 && before > 0) {
      // What an earlier life left was not synced, and a power cut may have spoilt it.
      await rm(part, { force: true });
      came = await this.#pull(part, wanted);
    }
    if (came.sha256 !== sha256) {
      await rm(part, { force: true });
      throw wrong(wanted, came);
    }
    await this.#place(part, sha256);
  }

  /** Nothing is synced: who reads it compares it with its digest, and what a power cut spoilt is pulled anew. */
  async #place(part: string, sha256: string): Promise<void> {
    await rename(part, this.#path(sha256));
  }

  async #pull(part: string, wanted: Omit<Wanted, 'sha256'>): Promise<{ sha256: string; size: number }> {
    const { source, signal, size, onBytes } = wanted;
    const { pause } = this.#options;
    try {
      return await pull(part, {
        source,
        signal,
        throttle: this.#throttle,
        pause,
        ...(onBytes === undefined ? {} : { onBytes }),
        ...(size === undefined ? {} : { limit: size }),
      });
    } catch (thrown) {
      if (isSystemError(thrown, 'ENOSPC') || isSystemError(thrown, 'EDQUOT')) {
        await rm(part, { force: true });
        throw this.#full(thrown);
      }
      if (!(thrown instanceof TooLarge)) throw thrown;
      await rm(part, { force: true });
      throw wrong(wanted, undefined);
    }
  }

  /** A file that cannot fit is told before its first byte comes. */
  async #checkRoom(bytes: number): Promise<void> {
    const { bavail, bsize } = await statfs(this.#options.folder);
    if (bytes > bavail * bsize) throw this.#full(`${bytes} bytes are wanted, ${bavail * bsize} are free`);
  }

  #full(cause: unknown): KkError {
    const { folder } = this.#options;
    return new KkError({
      code: 'DISK_FULL',
      message: `The file system of ${folder} has no room for the file.`,
      remedy: `Free some space on it (df -h ${folder}) and run again.`,
      evidence: cause instanceof Error ? cause.message : String(cause),
      ...(cause instanceof Error ? { cause } : {}),
    });
  }

  /** Removes what was not used for longest until `coming` bytes more are within the limit. */
  async #evict(coming: number): Promise<void> {
    const { folder, limit } = this.#options;
    const names = (await readdir(folder)).filter((name) => NAME.test(name) || PART.test(name));
    const all = await Promise.all(
      names.map(async (name) => {
        const found = await stat(join(folder, name)).catch(() => undefined);
        return { name, size: found?.size ?? 0, usedMs: found?.mtimeMs ?? 0 };
      }),
    );
    let total = all.reduce((sum, { size }) => sum + size, coming);
    for (const { name, size } of all.sort((a, b) => a.usedMs - b.usedMs)) {
      if (total <= limit) return;
      const sha256 = name.slice(0, 64);
      if (this.#held.has(sha256) || this.#pulls.has(sha256)) continue;
      await rm(join(folder, name), { force: true });
      total -= size;
    }
  }
}

function wrong({ source, ...wanted }: Omit<Wanted, 'sha256'>, came: { sha256: string; size: number } | undefined) {
  const sha256 = (wanted as Partial<Wanted>).sha256;
  const what =
    came === undefined ? `more than its ${wanted.size} bytes` : `${came.size} bytes with sha256 ${came.sha256}`;
  return new KkError({
    code: 'BLOB_WRONG_SHA256',
    message: `${source.name} gave ${what}, and not the file with sha256 ${sha256}.`,
    remedy:
      'Compare the digest with the one its publisher states. If that is right, what lies there was changed: see who did it before anything of it runs.',
  });
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

function sizeOf(path: string): Promise<number | undefined> {
  return stat(path).then(
    ({ size }) => size,
    (thrown: unknown) => {
      if (isSystemError(thrown, 'ENOENT')) return undefined;
      throw thrown;
    },
  );
}
