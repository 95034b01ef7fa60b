import { createHash } from 'node:crypto';
import { readdir, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { isSystemError, KkError } from '../../shared/errors.ts';
import { makePrivateFolder, replace } from '../durable/files.ts';

const DIGEST = /^[0-9a-f]{64}$/;

export function digestOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** Bytes by their sha256, in files that only root may read (0600): what was in a file may be secret. */
export class Contents {
  readonly folder: string;
  readonly #sizes: Map<string, number>;

  private constructor(folder: string, sizes: Map<string, number>) {
    this.folder = folder;
    this.#sizes = sizes;
  }

  static async open(folder: string): Promise<Contents> {
    await makePrivateFolder(folder);
    const sizes = new Map<string, number>();
    for (const name of await readdir(folder)) {
      // What else is there is of a write that was cut short.
      if (DIGEST.test(name)) sizes.set(name, (await stat(join(folder, name))).size);
      else await rm(join(folder, name), { force: true });
    }
    return new Contents(folder, sizes);
  }

  /** Bytes in all. */
  get size(): number {
    return [...this.#sizes.values()].reduce((sum, size) => sum + size, 0);
  }

  has(digest: string): boolean {
    return this.#sizes.has(digest);
  }

  /** On disk once this resolves. */
  async keep(bytes: Uint8Array): Promise<string> {
    const digest = digestOf(bytes);
    if (this.#sizes.has(digest)) return digest;
    await replace(join(this.folder, digest), bytes, 'agent.undo.content');
    this.#sizes.set(digest, bytes.length);
    return digest;
  }

  /** Throws KkError UNDO_DAMAGED when they are gone or are not what was kept. */
  async read(digest: string): Promise<Buffer> {
    const path = join(this.folder, digest);
    const bytes = await readFile(path).catch((thrown: unknown) => {
      if (isSystemError(thrown, 'ENOENT')) return undefined;
      throw thrown;
    });
    if (bytes !== undefined && digestOf(bytes) === digest) return bytes;
    throw new KkError({
      code: 'UNDO_DAMAGED',
      message: `What is to be restored from ${path} is ${bytes === undefined ? 'gone' : 'damaged'}.`,
      remedy: 'See the disk of the node (dmesg, smartctl); bring the resource back by hand, then roll back again.',
    });
  }

  /** Removes what nobody names; not synced, for what is left over is removed at the next chance. */
  async sweep(named: ReadonlySet<string>): Promise<void> {
    for (const digest of [...this.#sizes.keys()]) {
      if (named.has(digest)) continue;
      this.#sizes.delete(digest);
      await rm(join(this.folder, digest), { force: true });
    }
  }
}
