import { createHash } from 'node:crypto';
import { readdir, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { isSystemError } from '../../shared/errors.ts';
import { type Disk, unfinished } from '../durable/disk.ts';
import { makePrivateFolder } from '../durable/files.ts';

/** Common documents that no run needs are kept for the next one, up to this many (Hello.blobs). */
const KEPT = 16;
const NAME = /^[0-9a-f]{64}$/;

export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** Documents by their sha256, as the executor needs them. */
export interface Blobs {
  /** Newest first, at most 16. */
  list(): string[];
  /** The bytes, or undefined when they are not there or not what their name says (they are then removed). */
  read(digest: string): Promise<Buffer | undefined>;
  /** Keeps bytes under their digest, durably. */
  write(digest: string, bytes: Uint8Array): Promise<void>;
  /** Removes what is neither needed nor among the newest. */
  sweep(needed: ReadonlySet<string>): Promise<void>;
}

/** In a folder: `blobs/<sha256>`, written whole or not at all. */
export class BlobFolder implements Blobs {
  readonly #folder: string;
  readonly #disk: Disk;
  #known: string[] = [];

  private constructor(folder: string, disk: Disk) {
    this.#folder = folder;
    this.#disk = disk;
  }

  static async open(folder: string, disk: Disk): Promise<BlobFolder> {
    await makePrivateFolder(folder);
    const blobs = new BlobFolder(folder, disk);
    const entries = await readdir(folder);
    const names = entries.filter((name) => NAME.test(name));
    // What a write that was cut short has left.
    for (const name of entries)
      if (name === unfinished(name.slice(0, 64))) await rm(join(folder, name), { force: true });
    const aged = await Promise.all(names.map(async (name) => ({ name, at: (await stat(join(folder, name))).mtimeMs })));
    blobs.#known = aged.sort((a, b) => b.at - a.at).map(({ name }) => name);
    return blobs;
  }

  list(): string[] {
    return this.#known.slice(0, KEPT);
  }

  async read(digest: string): Promise<Buffer | undefined> {
    if (!NAME.test(digest)) return undefined;
    try {
      const bytes = await readFile(join(this.#folder, digest));
      if (sha256(bytes) === digest) return bytes;
      await rm(join(this.#folder, digest), { force: true });
    } catch (thrown) {
      if (!isSystemError(thrown, 'ENOENT')) throw thrown;
    }
    this.#known = this.#known.filter((name) => name !== digest);
    return undefined;
  }

  async write(digest: string, bytes: Uint8Array): Promise<void> {
    if (this.#known.includes(digest)) return;
    await this.#disk.replace(join(this.#folder, digest), bytes, 'agent.blob');
    this.#known.unshift(digest);
  }

  async sweep(needed: ReadonlySet<string>): Promise<void> {
    const gone = this.#known.slice(KEPT).filter((name) => !needed.has(name));
    for (const name of gone) await rm(join(this.#folder, name), { force: true });
    this.#known = this.#known.filter((name) => !gone.includes(name));
  }
}
