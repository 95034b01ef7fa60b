/**
 * Media that keep only what was synced: files and names as a disk holds them, with what is still under way to it. A power
 * cut lets any part of the unsynced get through, sector by sector and in any order. What POSIX promises, and no more:
 * fsync of a file makes its bytes safe, fsync of a folder the names in it. Deterministic for a given `random`.
 */
import { basename } from 'node:path';

const SECTOR = 512;

type Change = { at: number; bytes: Buffer } | { size: number };
type Naming = { name: string; file: MediaFile | undefined }[];

/** One file, with or without a name. */
export class MediaFile {
  /** As programs see it. */
  now: Buffer;
  #synced: Buffer;
  #underWay: Change[] = [];

  constructor(content: Buffer = Buffer.alloc(0)) {
    this.now = content;
    this.#synced = content;
  }

  write(at: number, bytes: Uint8Array): void {
    const change = { at, bytes: Buffer.from(bytes) };
    this.now = changed(this.now, change);
    this.#underWay.push(change);
  }

  truncate(size: number): void {
    this.now = changed(this.now, { size });
    this.#underWay.push({ size });
  }

  sync(): void {
    this.#synced = this.now;
    this.#underWay = [];
  }

  /** What is in it after a power cut. */
  afterCut(luck: Luck): Buffer {
    if (luck.kind === 'all') return this.now;
    if (luck.kind === 'none') return this.#synced;
    // One copy, however many changes; what is beyond `size` is always zero.
    const content = Buffer.alloc(Math.max(this.#synced.length, ...this.#underWay.map(endOf)));
    let size = this.#synced.copy(content);
    for (const change of this.#underWay) {
      if ('size' in change) {
        if (luck.random() < 0.5) size = change.size;
        content.fill(0, size);
        continue;
      }
      for (const piece of sectorsOf(change)) {
        if (luck.random() >= luck.share) continue;
        const { at, bytes } = torn(piece, luck);
        size = Math.max(size, at + bytes.copy(content, at));
      }
    }
    // The size can be there before the bytes are.
    if (size < this.now.length && luck.random() < 0.25) size = this.now.length;
    return content.subarray(0, size);
  }

  /** Everything is on disk. */
  get isSafe(): boolean {
    return this.#underWay.length === 0;
  }
}

/** Which part of the unsynced a power cut lets through: nothing, everything, or each sector with the chance `share`. */
export type Luck = { kind: 'none' } | { kind: 'all' } | { kind: 'some'; share: number; random: () => number };

/** A folder and the files in it, by base name. */
export class Media {
  /** Names as programs see them. */
  readonly names: Map<string, MediaFile>;
  #synced: Map<string, MediaFile>;
  #underWay: Naming[] = [];

  /** `files`: what is on disk, all synced. */
  constructor(files: ReadonlyMap<string, Buffer> = new Map()) {
    this.names = new Map([...files].map(([name, content]) => [name, new MediaFile(content)]));
    this.#synced = new Map(this.names);
  }

  file(path: string): MediaFile | undefined {
    return this.names.get(basename(path));
  }

  create(path: string): MediaFile {
    const file = new MediaFile();
    this.#name([{ name: basename(path), file }]);
    return file;
  }

  rename(from: string, to: string): void {
    this.#name([
      { name: basename(to), file: this.names.get(basename(from)) },
      { name: basename(from), file: undefined },
    ]);
  }

  remove(path: string): void {
    this.#name([{ name: basename(path), file: undefined }]);
  }

  /** fsync of the folder. */
  syncNames(): void {
    this.#synced = new Map(this.names);
    this.#underWay = [];
  }

  /** The folder as the next start finds it. Renames and the like get through in their order, each whole or not at all. */
  afterCut(luck: Luck): Map<string, Buffer> {
    const names = new Map(luck.kind === 'all' ? this.names : this.#synced);
    if (luck.kind === 'some') {
      const through = Math.floor(luck.random() * (this.#underWay.length + 1));
      for (const naming of this.#underWay.slice(0, through)) apply(names, naming);
    }
    return new Map([...names].map(([name, file]) => [name, file.afterCut(luck)]));
  }

  /** A power cut now would change nothing. */
  get isSafe(): boolean {
    return this.#underWay.length === 0 && [...this.names.values()].every((file) => file.isSafe);
  }

  #name(naming: Naming): void {
    apply(this.names, naming);
    this.#underWay.push(naming);
  }
}

function apply(names: Map<string, MediaFile>, naming: Naming): void {
  for (const { name, file } of naming) {
    if (file) names.set(name, file);
    else names.delete(name);
  }
}

function endOf(change: Change): number {
  return 'size' in change ? change.size : change.at + change.bytes.length;
}

/** A copy: earlier states are kept by others. */
function changed(content: Buffer, change: Change): Buffer {
  const size = 'size' in change ? change.size : Math.max(content.length, change.at + change.bytes.length);
  const next = Buffer.alloc(size);
  content.copy(next);
  if ('bytes' in change) change.bytes.copy(next, change.at);
  return next;
}

function* sectorsOf({ at, bytes }: { at: number; bytes: Buffer }): Generator<{ at: number; bytes: Buffer }> {
  for (let from = 0; from < bytes.length; ) {
    const to = Math.min(bytes.length, from + SECTOR - ((at + from) % SECTOR));
    yield { at: at + from, bytes: bytes.subarray(from, to) };
    from = to;
  }
}

/** Not every disk writes a sector at once. */
function torn({ at, bytes }: { at: number; bytes: Buffer }, luck: { random: () => number }) {
  if (luck.random() >= 0.1) return { at, bytes };
  return { at, bytes: bytes.subarray(0, 1 + Math.floor(luck.random() * bytes.length)) };
}

/** Uniform in [0, 1), the same sequence for the same seed (mulberry32). */
export function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
