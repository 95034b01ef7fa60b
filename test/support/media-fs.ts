/**
 * The part of node:fs/promises that durable writes are made of, on simulated media. `onMedia` puts it below a module, so
 * that the module's own code decides what is synced and when.
 */
import { registerHooks } from 'node:module';
import { basename } from 'node:path';
import type { Media, MediaFile } from './media.ts';

interface Mounted {
  folder: string;
  media: Media;
  /** Called before each change or sync; one that never resolves is a process that stands still. */
  before(what: string): Promise<void> | undefined;
}

let mounted: Mounted = { folder: '', media: undefined as never, before: () => undefined };

export function mount(next: Mounted): void {
  mounted = next;
}

/** Imports of node:fs/promises by modules whose address contains `below` get this file, from now on. */
export function onMedia(below: string): void {
  registerHooks({
    resolve: (specifier, context, next) =>
      specifier === 'node:fs/promises' && context.parentURL?.includes(below)
        ? { url: import.meta.url, shortCircuit: true }
        : next(specifier, context),
  });
}

const failure = (code: string, path: string): Error => Object.assign(new Error(`${code}: ${path}`), { code });

class Handle {
  readonly #file: MediaFile;
  readonly #mounted = mounted;

  constructor(file: MediaFile) {
    this.#file = file;
  }

  async write(bytes: Uint8Array, offset: number, length: number, position: number): Promise<{ bytesWritten: number }> {
    await this.#mounted.before('write');
    this.#file.write(position, bytes.subarray(offset, offset + length));
    return { bytesWritten: length };
  }

  async writeFile(content: string | Uint8Array): Promise<void> {
    await this.#mounted.before('write');
    this.#file.write(0, Buffer.from(content));
  }

  async read(into: Uint8Array, offset: number, length: number, position: number): Promise<{ bytesRead: number }> {
    const bytes = this.#file.now.subarray(position, position + length);
    into.set(bytes, offset);
    return { bytesRead: bytes.length };
  }

  async readFile(): Promise<Buffer> {
    return Buffer.from(this.#file.now);
  }

  async truncate(size = 0): Promise<void> {
    await this.#mounted.before('truncate');
    this.#file.truncate(size);
  }

  async sync(): Promise<void> {
    await this.#mounted.before('sync');
    this.#file.sync();
  }

  async datasync(): Promise<void> {
    await this.sync();
  }

  async chmod(): Promise<void> {}
  async chown(): Promise<void> {}
  async close(): Promise<void> {}
}

class FolderHandle {
  readonly #mounted = mounted;

  async sync(): Promise<void> {
    await this.#mounted.before('sync folder');
    this.#mounted.media.syncNames();
  }

  async close(): Promise<void> {}
}

export async function open(path: string, flags = 'r'): Promise<Handle | FolderHandle> {
  const here = mounted;
  if (path === here.folder) return new FolderHandle();
  const there = here.media.file(path);
  const exclusive = flags.includes('x');
  if (there && exclusive) throw failure('EEXIST', path);
  if (!there && !exclusive) throw failure('ENOENT', path);
  if (there) return new Handle(there);
  await here.before(`create ${basename(path)}`);
  return new Handle(here.media.create(path));
}

export async function rename(from: string, to: string): Promise<void> {
  const here = mounted;
  if (!here.media.file(from)) throw failure('ENOENT', from);
  await here.before('rename');
  here.media.rename(from, to);
}

export async function rm(path: string): Promise<void> {
  const here = mounted;
  if (!here.media.file(path)) return;
  await here.before('remove');
  here.media.remove(path);
}

/** Of no use to what is tested on media: they have one folder, and no links. */
export const mkdir = async (): Promise<void> => {};
export const writeFile = (path: string): Promise<never> => Promise.reject(failure('ENOSYS', path));
export const link = writeFile;
export const readFile = writeFile;
