import { createHash, type Hash } from 'node:crypto';
import { type FileHandle, open } from 'node:fs/promises';
import { type Answer, Away, ask } from './web.ts';

/** A server gives no file at the address, and would not if it were asked again. */
export class Refused extends Error {
  override name = 'Refused';
  readonly status: number;

  constructor(url: string, status: number) {
    super(`${url} answered ${status}`);
    this.status = status;
  }
}

/** No component has more: a server that goes on and on does not fill the disk. */
const MOST_BYTES = 4 * 1024 ** 3;

/** The beginning of a file that is being fetched, on disk with its digest as far as it has come. Not synced. */
export class Part {
  size = 0;
  readonly #handle: FileHandle;
  #hash: Hash = createHash('sha256');
  /** What the server that gave it says which edition of the file it is (RFC 9110, 13.1.5); of this address only. */
  #edition: { url: string; validator: string } | undefined;

  private constructor(handle: FileHandle) {
    this.#handle = handle;
  }

  static async open(path: string): Promise<Part> {
    const handle = await open(path, 'a+', 0o600);
    const part = new Part(handle);
    for await (const chunk of handle.createReadStream({ autoClose: false, start: 0 })) part.#count(chunk as Buffer);
    return part;
  }

  /** Fetches what is missing, behind what is here where the server can. Throws {@link Away}, {@link Refused}, what the disk says, and the signal's reason. */
  async fetch(url: string, signal: AbortSignal, onBytes: (total: number | undefined) => void): Promise<void> {
    const answer = await ask(url, signal, { headers: this.#range(url) });
    const total = await this.#begin(url, answer);
    const most = total ?? MOST_BYTES;
    if (most > MOST_BYTES) {
      await answer.close();
      throw new Away(`${url} would be ${most} bytes, and at most ${MOST_BYTES} are taken`);
    }
    for await (const chunk of answer.body()) {
      if (this.size + chunk.length > most) {
        // It is another file than was told: nothing can be made of its beginning.
        await this.clear();
        throw new Away(`${url} gave more than ${most} bytes`);
      }
      await this.#handle.appendFile(chunk);
      this.#count(chunk);
      onBytes(total);
    }
    if (total !== undefined && this.size !== total)
      throw new Away(`${url} broke off after ${this.size} of ${total} bytes`);
  }

  async clear(): Promise<void> {
    await this.#handle.truncate(0);
    this.size = 0;
    this.#hash = createHash('sha256');
    this.#edition = undefined;
  }

  sha256(): string {
    return this.#hash.copy().digest('hex');
  }

  close(): Promise<void> {
    return this.#handle.close();
  }

  #range(url: string): Record<string, string> {
    if (this.size === 0) return {};
    const validator = this.#edition?.url === url ? { 'if-range': this.#edition.validator } : {};
    return { range: `bytes=${this.size}-`, ...validator };
  }

  /** Reads the head of the answer; gives how many bytes the whole file has, if that is told. */
  async #begin(url: string, answer: Answer): Promise<number | undefined> {
    const { status } = answer;
    const from = status === 206 ? Number(/^bytes (\d+)-/.exec(answer.header('content-range') ?? '')?.[1] ?? 0) : 0;
    const wrongPlace = status === 206 && from !== this.size;
    if ((status !== 200 && status !== 206) || wrongPlace) {
      await answer.close();
      // What is here is more than there is: it is not this file's beginning.
      if (status === 416 || wrongPlace) {
        await this.clear();
        throw new Away(`${url} has no such part of the file`);
      }
      const text = `${url} answered ${status}`;
      throw status >= 500 || status === 429 || status === 408 ? new Away(text) : new Refused(url, status);
    }
    if (status === 200) await this.clear();
    const etag = answer.header('etag');
    const validator = etag !== undefined && !etag.startsWith('W/') ? etag : answer.header('last-modified');
    if (validator !== undefined) this.#edition = { url, validator };
    const length = Number(answer.header('content-length') ?? Number.NaN);
    return Number.isFinite(length) ? from + length : undefined;
  }

  #count(bytes: Uint8Array): void {
    this.#hash.update(bytes);
    this.size += bytes.length;
  }
}
