import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { createGunzip, createZstdDecompress } from 'node:zlib';
import xz from 'xz-decompress';
import { tarEntries } from './tar-entries.ts';
import { zipEntries } from './zip-entries.ts';

/** One thing in an archive, in its order. Nothing of it is judged yet: names and links may lead anywhere. */
export interface ArchiveEntry {
  name: string;
  /** `other`: a device or a pipe. */
  kind: 'file' | 'directory' | 'symlink' | 'hardlink' | 'other';
  mode: number;
  /** As the archive says; what comes may be more or less. */
  size: number;
  /** Of links. */
  target: string;
  /** Of files; to be read before the next entry is asked for, or not at all. */
  content: AsyncIterable<Uint8Array>;
}

/** The archive cannot be read, or grows beyond what is allowed; the message says what was seen. */
export class BadArchive extends Error {
  override name = 'BadArchive';
  readonly code: 'ARCHIVE_BROKEN' | 'ARCHIVE_TOO_LARGE' | 'ARCHIVE_UNKNOWN' | 'ARCHIVE_UNSAFE';

  constructor(code: BadArchive['code'], message: string) {
    super(message);
    this.code = code;
  }
}

/** Bytes that are taken at once: each piece costs a turn through the event loop, whatever is in it. */
const CHUNK = 256 * 1024;

type Format = 'tar' | 'gzip' | 'xz' | 'zstd' | 'zip';

/** By what a file begins with. */
const MAGIC: readonly [Format, number, string][] = [
  ['gzip', 0, '1f8b'],
  ['xz', 0, 'fd377a585a00'],
  ['zstd', 0, '28b52ffd'],
  ['zip', 0, '504b0304'],
  ['zip', 0, '504b0506'],
  ['tar', 257, '7573746172'],
];

/**
 * Everything in the archive at `path`, as it is read. `limit`: bytes that may come out of its compression; a bomb ends there.
 * Throws {@link BadArchive}, and what the system throws.
 */
export async function* archiveEntries(path: string, limit: number): AsyncGenerator<ArchiveEntry> {
  const format = await formatOf(path);
  try {
    const entries = format === 'zip' ? zipEntries(path) : tarEntries(bounded(unpacked(path, format), limit));
    for await (const entry of entries) yield { ...entry, content: judged(entry.content) };
  } catch (thrown) {
    throw asBad(thrown);
  }
}

async function* judged(content: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    yield* content;
  } catch (thrown) {
    throw asBad(thrown);
  }
}

/** yauzl judges names itself. */
const ZIP_NAME = /^(?:absolute path|invalid relative path|invalid characters in fileName): /;

/** What the disk says is no matter of the archive; everything else is. */
function asBad(thrown: unknown): unknown {
  const { code } = thrown as NodeJS.ErrnoException;
  if (thrown instanceof BadArchive || (code !== undefined && /^E(?!RR_)[A-Z]+$/.test(code))) return thrown;
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  return new BadArchive(ZIP_NAME.test(message) ? 'ARCHIVE_UNSAFE' : 'ARCHIVE_BROKEN', message);
}

async function formatOf(path: string): Promise<Format> {
  const handle = await open(path, 'r');
  try {
    const head = Buffer.alloc(262);
    await handle.read(head, 0, head.length, 0);
    const hex = head.toString('hex');
    const found = MAGIC.find(([, at, magic]) => hex.startsWith(magic, at * 2));
    if (found !== undefined) return found[0];
  } finally {
    await handle.close();
  }
  throw new BadArchive('ARCHIVE_UNKNOWN', 'it begins as no tar, tar.gz, tar.xz, tar.zst or zip does');
}

function unpacked(path: string, format: Exclude<Format, 'zip'>): Readable {
  const file = createReadStream(path, { highWaterMark: CHUNK });
  if (format === 'tar') return file;
  if (format === 'xz') {
    const stream = new xz.XzReadableStream(Readable.toWeb(file) as unknown as ReadableStream<Uint8Array>);
    return Readable.fromWeb(stream as unknown as Parameters<typeof Readable.fromWeb>[0]);
  }
  const through = format === 'gzip' ? createGunzip({ chunkSize: CHUNK }) : createZstdDecompress({ chunkSize: CHUNK });
  file.once('error', (error) => through.destroy(error));
  through.once('close', () => file.destroy());
  return file.pipe(through);
}

async function* bounded(stream: Readable, limit: number): AsyncGenerator<Uint8Array> {
  let size = 0;
  for await (const chunk of stream) {
    size += (chunk as Uint8Array).length;
    if (size > limit) throw new BadArchive('ARCHIVE_TOO_LARGE', `more than ${limit} bytes come out of it`);
    yield chunk as Uint8Array;
  }
}
