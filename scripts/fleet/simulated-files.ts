import { createHash } from 'node:crypto';
import { dirname } from 'node:path';
import { buffer } from 'node:stream/consumers';
import type { Clock } from '../../agent/executor/ports.ts';
import type { FileStat, HostFiles } from '../../agent/host/host.ts';

/** What lies under one path of a simulated machine. */
interface Entry {
  stat: FileStat;
  content: Buffer;
}

/** Folders that every machine has; one list for all of them, so that a machine that writes nothing costs next to nothing. */
const ROOTS: ReadonlyMap<string, Entry> = new Map(
  ['', '/etc', '/etc/systemd', '/etc/systemd/system', '/etc/sysctl.d', '/home', '/opt', '/root', '/run', '/tmp']
    .concat(['/usr', '/usr/local', '/usr/local/bin', '/var', '/var/lib'])
    .map((path) => [path || '/', { stat: statOf('directory', 0, 0, {}), content: Buffer.alloc(0) }]),
);

/**
 * The files of one simulated machine, in memory: files and folders with their attributes, no symlinks. What is written is
 * told to `onWrite`; {@link restore} brings it back after a restart of the simulator.
 */
export class SimulatedFiles implements HostFiles {
  readonly #entries = new Map<string, Entry>();
  readonly #clock: Clock;
  readonly #onWrite: (path: string, content: Buffer | undefined) => void;
  readonly #namesIn: (path: string) => string[];
  readonly #watchers = new Set<() => void>();

  /** `namesIn`: what else is in a folder; here the folders of commands. */
  constructor(parts: {
    clock: Clock;
    onWrite?: (path: string, content: Buffer | undefined) => void;
    namesIn?: (path: string) => string[];
  }) {
    this.#clock = parts.clock;
    this.#onWrite = parts.onWrite ?? (() => {});
    this.#namesIn = parts.namesIn ?? (() => []);
  }

  /** A file as an earlier life of the simulator told of it; without content it was removed. */
  restore(path: string, content: Buffer | undefined): void {
    if (content === undefined) this.#entries.delete(path);
    else this.#put(path, 'file', content, {});
  }

  async read(path: string): Promise<Buffer | undefined> {
    const entry = this.#entry(path);
    if (entry?.stat.kind === 'directory') throw systemError('EISDIR', path);
    return entry && Buffer.from(entry.content);
  }

  async stat(path: string): Promise<FileStat | undefined> {
    return this.#entry(path)?.stat;
  }

  async whole(path: string): Promise<{ stat: FileStat; content: Buffer } | undefined> {
    const entry = this.#entry(path);
    return entry?.stat.kind === 'file' ? { stat: entry.stat, content: Buffer.from(entry.content) } : undefined;
  }

  async digest(path: string): Promise<{ stat: FileStat; sha256: string } | undefined> {
    const found = await this.whole(path);
    return found && { stat: found.stat, sha256: createHash('sha256').update(found.content).digest('hex') };
  }

  async *stream(path: string): AsyncGenerator<Uint8Array> {
    const found = await this.whole(path);
    if (found === undefined) throw systemError('ENOENT', path);
    yield found.content;
  }

  async real(path: string): Promise<string | undefined> {
    return this.#entry(path) && path;
  }

  async list(path: string): Promise<string[]> {
    const below = path === '/' ? '/' : `${path}/`;
    const names = [...ROOTS.keys(), ...this.#entries.keys()].filter((one) => one !== '/' && one.startsWith(below));
    const first = names.map((one) => one.slice(below.length).split('/')[0] ?? '');
    return [...new Set([...first, ...this.#namesIn(path)])].sort();
  }

  async writeAtomic(
    path: string,
    content: Uint8Array | AsyncIterable<Uint8Array>,
    attributes: Attributes = {},
  ): Promise<void> {
    if (this.#entry(dirname(path))?.stat.kind !== 'directory') throw systemError('ENOENT', path);
    if (this.#entry(path)?.stat.kind === 'directory') throw systemError('EISDIR', path);
    const bytes = content instanceof Uint8Array ? Buffer.from(content) : await buffer(content);
    this.#put(path, 'file', bytes, attributes);
    this.#onWrite(path, bytes);
  }

  async setKernelValue(path: string): Promise<void> {
    throw systemError('ENOENT', path);
  }

  async makeDirectory(path: string, attributes: Attributes = {}): Promise<void> {
    const missing: string[] = [];
    for (let at = path; !this.#entry(at); at = dirname(at)) missing.unshift(at);
    for (const one of missing) this.#put(one, 'directory', Buffer.alloc(0), { mode: 0o755 });
    await this.setAttributes(path, attributes);
  }

  async setAttributes(path: string, attributes: Attributes): Promise<void> {
    const entry = this.#entry(path);
    if (entry === undefined) throw systemError('ENOENT', path);
    this.#entries.set(path, { ...entry, stat: { ...entry.stat, ...attributes } });
  }

  async remove(path: string): Promise<void> {
    for (const one of [...this.#entries.keys()]) {
      if (one !== path && !one.startsWith(`${path}/`)) continue;
      this.#entries.delete(one);
      this.#onWrite(one, undefined);
    }
    this.#wake();
  }

  async rename(from: string, to: string): Promise<void> {
    for (const [path, entry] of [...this.#entries]) {
      if (path !== from && !path.startsWith(`${from}/`)) continue;
      this.#entries.delete(path);
      this.#entries.set(`${to}${path.slice(from.length)}`, entry);
    }
    this.#wake();
  }

  async makeNew(path: string, fill: (inside: string) => Promise<void>): Promise<void> {
    if (this.#entry(path)) throw systemError('EEXIST', path);
    await this.makeDirectory(path, { mode: 0o700 });
    await fill(path);
  }

  async removeEmpty(path: string): Promise<boolean> {
    if ((await this.list(path)).length > 0) return false;
    await this.remove(path);
    return true;
  }

  async readLink(): Promise<undefined> {
    return undefined;
  }

  async makeLink(path: string): Promise<void> {
    throw systemError('ENOTSUP', path);
  }

  changed(_path: string, { timeoutMs, signal }: { timeoutMs: number; signal?: AbortSignal }): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const settle = (): void => {
        cancel();
        this.#watchers.delete(settle);
        signal?.removeEventListener('abort', settle);
        if (signal?.aborted) reject(signal.reason);
        else resolve();
      };
      const cancel = this.#clock.after(timeoutMs, settle);
      this.#watchers.add(settle);
      signal?.addEventListener('abort', settle);
    });
  }

  async uidOf(user: string): Promise<number | undefined> {
    return idOf(user);
  }

  async gidOf(group: string): Promise<number | undefined> {
    return idOf(group);
  }

  #entry(path: string): Entry | undefined {
    return this.#entries.get(path) ?? ROOTS.get(path);
  }

  #put(path: string, kind: 'file' | 'directory', content: Buffer, attributes: Attributes): void {
    this.#entries.set(path, { stat: statOf(kind, content.length, this.#clock.nowMs(), attributes), content });
    this.#wake();
  }

  #wake(): void {
    for (const watcher of this.#watchers) watcher();
  }
}

function statOf(kind: FileStat['kind'], size: number, mtimeMs: number, { mode, uid, gid }: Attributes): FileStat {
  return { kind, mode: mode ?? (kind === 'file' ? 0o644 : 0o755), uid: uid ?? 0, gid: gid ?? 0, size, mtimeMs };
}

type Attributes = { mode?: number; uid?: number; gid?: number };

/** The simulated machine knows root, and whoever is named by number. */
function idOf(name: string): number | undefined {
  if (name === 'root') return 0;
  return /^\d+$/.test(name) ? Number(name) : undefined;
}

function systemError(code: string, path: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`${code}: ${path}`), { code, path });
}
