import { createHash, type Hash } from 'node:crypto';
import { type FileHandle, open } from 'node:fs/promises';
import type { Opened, Source } from './source.ts';
import { Away } from './source.ts';
import type { Throttle } from './throttle.ts';

/** Between attempts that brought nothing: the first, and the longest. */
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 30_000;

/** Bytes that are written at once: a TLS record has 16 KiB, and each write costs a turn through the event loop. */
const BATCH = 256 * 1024;

export interface PullOptions {
  source: Source;
  signal: AbortSignal;
  throttle: Throttle;
  pause: (ms: number, signal: AbortSignal) => Promise<void>;
  /** How far it is, as it goes. */
  onBytes?: (done: number, total: number | undefined) => void;
  /** Bytes that may be taken at most; more is refused by {@link TooLarge}. */
  limit?: number;
}

/** More came than there should be. */
export class TooLarge extends Error {
  override name = 'TooLarge';
}

/**
 * Brings a file into `path`, which may hold the beginning of it already, and gives its sha256 and size. What came stays there
 * when it is aborted or the source gives up, and the next pull goes on behind it. Not synced.
 * Throws what the source throws, {@link Away} when it was asked too often, {@link TooLarge}, and what the system throws.
 */
export async function pull(path: string, options: PullOptions): Promise<{ sha256: string; size: number }> {
  const handle = await open(path, 'r+').catch((thrown: NodeJS.ErrnoException) => {
    if (thrown.code !== 'ENOENT') throw thrown;
    return open(path, 'wx+', 0o600);
  });
  try {
    const part = await Part.of(handle);
    for (let failures = 0; ; ) {
      options.signal.throwIfAborted();
      // All of it is there: an earlier life ended before it was given its name.
      if (part.size === options.limit) return part.end();
      const before = part.size;
      try {
        const opened = await options.source.open(part.size, options.signal);
        await take(part, opened, options);
        if (opened.total === undefined || part.size === opened.total) return part.end();
        throw new Away(`the answer broke off after ${part.size} of ${opened.total} bytes`);
      } catch (thrown) {
        options.signal.throwIfAborted();
        if (!(thrown instanceof Away)) throw thrown;
        failures = part.size > before ? 1 : failures + 1;
        if (options.source.patience !== undefined && failures > options.source.patience) throw thrown;
        await options.pause(Math.min(FIRST_PAUSE_MS * 2 ** (failures - 1), LONGEST_PAUSE_MS), options.signal);
      }
    }
  } finally {
    await handle.close();
  }
}

async function take(part: Part, opened: Opened, options: PullOptions): Promise<void> {
  const { signal, throttle, limit = Number.POSITIVE_INFINITY } = options;
  if (opened.offset !== part.size) await part.restart();
  try {
    for await (const chunk of opened.stream) {
      signal.throwIfAborted();
      const bytes = chunk as Buffer;
      if (part.size + bytes.length > limit) throw new TooLarge(`more than ${limit} bytes came`);
      await throttle.spend(bytes.length);
      await part.add(bytes);
      options.onBytes?.(part.size, opened.total);
    }
    await part.flush();
  } catch (thrown) {
    // What the disk says is no matter of the source.
    if (thrown instanceof TooLarge || part.failed !== undefined) throw thrown;
    // What came before it broke off is kept.
    await part.flush();
    throw new Away(thrown instanceof Error ? thrown.message : String(thrown));
  } finally {
    opened.stream.destroy();
  }
}

/** The file as far as it has come, with its digest. */
class Part {
  size = 0;
  /** Of that what is on the handle, and what is not yet. */
  #written = 0;
  #batch: Buffer[] = [];
  /** Why it could not be written. */
  failed: unknown;
  readonly #handle: FileHandle;
  #hash: Hash = createHash('sha256');

  private constructor(handle: FileHandle) {
    this.#handle = handle;
  }

  static async of(handle: FileHandle): Promise<Part> {
    const part = new Part(handle);
    for await (const chunk of handle.createReadStream({ autoClose: false, start: 0 })) {
      part.#hash.update(chunk as Buffer);
      part.size += (chunk as Buffer).length;
    }
    part.#written = part.size;
    return part;
  }

  async restart(): Promise<void> {
    this.#batch = [];
    await this.#handle.truncate(0);
    this.size = 0;
    this.#written = 0;
    this.#hash = createHash('sha256');
  }

  async add(bytes: Buffer): Promise<void> {
    this.#batch.push(bytes);
    this.#hash.update(bytes);
    this.size += bytes.length;
    if (this.size - this.#written >= BATCH) await this.flush();
  }

  /** On the handle; a failure is kept in `failed`, too. */
  async flush(): Promise<void> {
    const bytes = Buffer.concat(this.#batch);
    this.#batch = [];
    try {
      for (let done = 0; done < bytes.length; ) {
        const { bytesWritten } = await this.#handle.write(bytes, done, bytes.length - done, this.#written);
        done += bytesWritten;
        this.#written += bytesWritten;
      }
    } catch (thrown) {
      this.failed = thrown;
      throw thrown;
    }
  }

  end(): { sha256: string; size: number } {
    return { sha256: this.#hash.digest('hex'), size: this.size };
  }
}
