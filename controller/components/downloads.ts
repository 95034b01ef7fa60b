import { mkdir, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { isSystemError, KkError } from '../../shared/errors.ts';
import { type BlobStore, KEPT_MS } from '../store/blobs.ts';
import { Part, Refused } from './part.ts';
import { Away } from './web.ts';

/** Between attempts: the first, and the longest. */
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 10_000;
/** How often an address is asked again without a byte having come, where another one may have the file, and where none has. */
const PATIENCE = { several: 1, one: 4 };

export interface Download {
  /** For people: `kubelet v1.34.2 for amd64`. */
  name: string;
  component: string;
  sha256: string;
  /** Best first. */
  urls: readonly string[];
  signal: AbortSignal;
  /** How far it is. */
  onBytes(done: number, total: number | undefined): void;
}

export interface DownloadsParts {
  blobs: Pick<BlobStore, 'size' | 'take'>;
  /** `downloads` in the state folder, on the file system of the blobs: beginnings of files by their sha256. */
  folder: string;
  nowMs: () => number;
  /** Waits; rejects with the signal's reason. */
  pause: (ms: number, signal: AbortSignal) => Promise<void>;
}

/** Fetches files into the controller's store, each once, whoever asks for it. */
export class Downloads {
  readonly #parts: DownloadsParts;
  readonly #running = new Map<string, Promise<void>>();

  private constructor(parts: DownloadsParts) {
    this.#parts = parts;
  }

  /** Makes the folder, and removes beginnings that nobody went on with for a week. */
  static async open(parts: DownloadsParts): Promise<Downloads> {
    await mkdir(parts.folder, { recursive: true, mode: 0o700 });
    for (const name of await readdir(parts.folder)) {
      const path = join(parts.folder, name);
      if (parts.nowMs() - (await stat(path)).mtimeMs > KEPT_MS) await rm(path, { force: true });
    }
    return new Downloads(parts);
  }

  async has(sha256: string): Promise<boolean> {
    return (await this.#parts.blobs.size(sha256)) !== undefined;
  }

  /**
   * Resolves with the size once the file is in the store; `fetched`: it was not. What came of one that fails stays for the next
   * try. Throws KkError COMPONENT_UNREACHABLE, COMPONENT_NOT_FOUND, COMPONENT_WRONG_SHA256, DISK_FULL, and the signal's reason.
   */
  async bring(download: Download): Promise<{ bytes: number; fetched: boolean }> {
    const { sha256, signal } = download;
    let fetched = false;
    for (;;) {
      signal.throwIfAborted();
      const bytes = await this.#parts.blobs.size(sha256);
      if (bytes !== undefined) return { bytes, fetched };
      const under = this.#running.get(sha256);
      if (under !== undefined) {
        await Promise.race([under.catch(() => {}), aborted(signal)]);
        continue;
      }
      fetched = true;
      const work = this.#fetch(download);
      this.#running.set(sha256, work);
      await work.finally(() => this.#running.delete(sha256));
    }
  }

  async #fetch(download: Download): Promise<void> {
    const { sha256, urls, signal } = download;
    const path = join(this.#parts.folder, sha256);
    const seen: Failure[] = [];
    const part = await Part.open(path);
    try {
      for (const url of urls) {
        const failure = await this.#from(url, part, download);
        if (failure === undefined) {
          await this.#parts.blobs.take(sha256, path);
          return;
        }
        seen.push(failure);
      }
    } catch (thrown) {
      signal.throwIfAborted();
      if (!isSystemError(thrown, 'ENOSPC') && !isSystemError(thrown, 'EDQUOT')) throw thrown;
      await rm(path, { force: true });
      throw full(this.#parts.folder, thrown);
    } finally {
      await part.close();
    }
    throw failed(download, seen);
  }

  /** undefined: the part is the whole file. */
  async #from(url: string, part: Part, download: Download): Promise<Failure | undefined> {
    const { sha256, urls, signal } = download;
    const patience = urls.length > 1 ? PATIENCE.several : PATIENCE.one;
    let mayBeSpoilt = part.size > 0;
    for (let failures = 0; ; ) {
      signal.throwIfAborted();
      const before = part.size;
      try {
        // All of it is here: an earlier life ended before it was given its name.
        if (before === 0 || part.sha256() !== sha256)
          await part.fetch(url, signal, (total) => download.onBytes(part.size, total));
        const came = part.sha256();
        if (came === sha256) return undefined;
        const { size } = part;
        await part.clear();
        if (!mayBeSpoilt) return { why: 'wrong', text: `${url} gave ${size} bytes with sha256 ${came}` };
        mayBeSpoilt = false;
      } catch (thrown) {
        signal.throwIfAborted();
        if (thrown instanceof Refused) return { why: thrown.status === 404 ? 'absent' : 'away', text: thrown.message };
        if (!(thrown instanceof Away)) throw thrown;
        failures = part.size > before ? 1 : failures + 1;
        if (failures > patience) return { why: 'away', text: thrown.message };
        await this.#parts.pause(Math.min(FIRST_PAUSE_MS * 2 ** (failures - 1), LONGEST_PAUSE_MS), signal);
      }
    }
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

/** Why one address did not give the file. */
interface Failure {
  why: 'away' | 'absent' | 'wrong';
  text: string;
}

function failed({ name, component, sha256, urls }: Download, seen: readonly Failure[]): KkError {
  if (urls.length === 0)
    return new KkError({
      code: 'COMPONENT_NOT_FOUND',
      message: `The controller does not have the file that stands in for ${name} (download.overrides.${component}.path).`,
      remedy: 'Bring it with the plan: `kk-controller apply --resume last <plan.yaml>`.',
    });
  const evidence = seen.map(({ text }) => text).join('\n');
  const servers = [...new Set(urls.map((url) => new URL(url).host))].join(' or ');
  if (seen.some(({ why }) => why === 'wrong'))
    return new KkError({
      code: 'COMPONENT_WRONG_SHA256',
      message: `What came as ${name} is not the file with sha256 ${sha256}.`,
      remedy: `Compare the digest with the one its publisher states. If that is right, see who changed the file; else correct download.overrides.${component}.sha256, or its lines in the lock file.`,
      evidence,
    });
  if (seen.every(({ why }) => why === 'absent'))
    return new KkError({
      code: 'COMPONENT_NOT_FOUND',
      message: `There is no ${name} at ${servers}.`,
      remedy: 'Correct the version, download.arch or download.mirror, and go on with `apply --resume`.',
      evidence,
    });
  return new KkError({
    code: 'COMPONENT_UNREACHABLE',
    message: `${name} could not be fetched from ${servers}.`,
    remedy:
      'See name resolution, network and proxy of the controller, or set download.mirror; then go on with `apply --resume`. What came already is not fetched again.',
    evidence,
  });
}

function full(folder: string, cause: unknown): KkError {
  return new KkError({
    code: 'DISK_FULL',
    message: `The file system of ${folder} is full: the components do not fit.`,
    remedy: `Free some space on it (df -h ${folder}), then go on with \`apply --resume\`.`,
    cause,
  });
}
