import { once } from 'node:events';
import { promisify } from 'node:util';
import { type Entry, type Options, open, type ZipFile } from 'yauzl';
import type { ArchiveEntry } from './archive.ts';

/** Kind of file in the upper half of the attributes, where a unix made the archive. */
const KIND = 0o170000;
const SYMLINK = 0o120000;
const FILE = 0o100000;
const DIRECTORY = 0o040000;
/** Longer than any path may be. */
const TARGET = 4096;

const openZip = promisify<string, Options, ZipFile>(open);

/** The entries of a zip, by the list at its end; sizes are held against that list. Throws what is wrong with it. */
export async function* zipEntries(path: string): AsyncGenerator<ArchiveEntry> {
  const zip = await openZip(path, { lazyEntries: true, autoClose: false, validateEntrySizes: true });
  try {
    for (let left = zip.entryCount; left > 0; left -= 1) {
      const coming = once(zip, 'entry');
      zip.readEntry();
      const [entry] = (await coming) as [Entry];
      yield await entryOf(zip, entry);
    }
  } finally {
    zip.close();
  }
}

async function entryOf(zip: ZipFile, entry: Entry): Promise<ArchiveEntry> {
  const attributes = entry.externalFileAttributes >>> 16;
  const isFolder = entry.fileName.endsWith('/');
  const content = contentOf(zip, entry);
  const type = attributes & KIND;
  const kind = isFolder
    ? 'directory'
    : type === SYMLINK
      ? 'symlink'
      : [0, FILE, DIRECTORY].includes(type)
        ? 'file'
        : 'other';
  return {
    name: entry.fileName,
    kind,
    mode: attributes & 0o7777 || (isFolder ? 0o755 : 0o644),
    size: entry.uncompressedSize,
    target: kind === 'symlink' ? await textOf(content) : '',
    content,
  };
}

async function* contentOf(zip: ZipFile, entry: Entry): AsyncGenerator<Uint8Array> {
  const openEntry = promisify(zip.openReadStream.bind(zip)) as (entry: Entry) => Promise<NodeJS.ReadableStream>;
  for await (const chunk of await openEntry(entry)) yield chunk as Buffer;
}

async function textOf(content: AsyncIterable<Uint8Array>): Promise<string> {
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const part of content) {
    size += part.length;
    if (size > TARGET) throw new Error('a symlink with more than 4096 bytes');
    parts.push(part);
  }
  return Buffer.concat(parts).toString('utf8');
}
