/** What an archive would put where: read whole and judged before anything is written. */
import { createHash } from 'node:crypto';
import { matchesGlob, posix } from 'node:path';
import { z } from 'zod';
import { KkError } from '../../shared/errors.ts';
import { type ArchiveEntry, archiveEntries, BadArchive } from '../files/archive.ts';

/** One thing that is unpacked; `path` is relative to the destination. */
export const Listed = z.strictObject({
  path: z.string().min(1),
  kind: z.enum(['file', 'directory', 'symlink']),
  mode: z.int(),
  size: z.number(),
  /** Of a file its digest, of a symlink what it says. */
  is: z.string(),
  /** Its place in the archive: a name that comes twice counts where it comes last. */
  at: z.int(),
  /** Of a hard link: the path of the file that it is the same as. */
  same: z.string().optional(),
});
export type Listed = z.infer<typeof Listed>;

/** What of the inputs decides what comes out. */
export interface Unpacking {
  strip: number;
  include?: readonly string[] | undefined;
  setuid: boolean;
  max_bytes: number;
  max_entries: number;
}

/** Headers, and what fills a tar up to its blocks, on top of what is in it. */
const AROUND = 64 * 1024 * 1024;
/** Whatever the archive says, only its owner may write. */
const MASK = 0o7755;
const SPECIAL = 0o6000;

/** Bytes that may come out of the compression. */
export function rawLimit({ max_bytes }: Unpacking): number {
  return max_bytes + AROUND;
}

/**
 * Reads all of an archive. Throws KkError ARCHIVE_UNSAFE, ARCHIVE_TOO_LARGE, ARCHIVE_BROKEN, ARCHIVE_UNKNOWN, each with the entry
 * that it is about; nothing was written then.
 */
export async function listArchive(
  archive: string,
  name: string,
  unpacking: Unpacking,
  signal: AbortSignal,
): Promise<Listed[]> {
  const listed = new Map<string, Listed>();
  let [bytes, at] = [0, -1];
  try {
    for await (const entry of archiveEntries(archive, rawLimit(unpacking))) {
      signal.throwIfAborted();
      at += 1;
      if (at >= unpacking.max_entries)
        throw tooLarge(name, `has more than ${unpacking.max_entries} entries`, 'max_entries');
      const path = placeOf(entry, unpacking, name);
      if (path === undefined) continue;
      const one = await judged(entry, path, at, listed, unpacking, name, (size) => {
        bytes += size;
        if (bytes > unpacking.max_bytes)
          throw tooLarge(
            name,
            `holds more than ${unpacking.max_bytes} bytes (at ${entry.name.slice(0, 200)})`,
            'max_bytes',
          );
      });
      listed.set(path, one);
    }
  } catch (thrown) {
    if (thrown instanceof BadArchive) throw broken(name, thrown);
    throw thrown;
  }
  for (const one of listed.values()) judgePlace(one, listed, name);
  return [...listed.values()];
}

/** Once all is known: an entry may come before what it lies below, or be replaced by a later one. Throws ARCHIVE_UNSAFE. */
function judgePlace(one: Listed, listed: ReadonlyMap<string, Listed>, archive: string): void {
  const { path, kind, is, same } = one;
  for (let above = posix.dirname(path); above !== '.'; above = posix.dirname(above)) {
    const over = listed.get(above)?.kind ?? 'directory';
    if (over !== 'directory') throw unsafe(archive, path, `lies below the ${over} ${above}`);
  }
  if (kind === 'symlink' && leadsOut(one, listed))
    throw unsafe(archive, path, `is a symlink that leads out of the destination (${is.slice(0, 200)})`);
  if (same !== undefined && listed.get(same)?.is !== is)
    throw unsafe(archive, path, `is a hard link to ${same}, which comes again as something else`);
}

/** As many as the kernel follows in one path (path_resolution(7)). */
const MOST_LINKS = 40;

/** Walks where a symlink leads, part by part, through the other symlinks of the archive: `a/..` is not here where `a` is one. */
function leadsOut({ path, is }: Listed, listed: ReadonlyMap<string, Listed>): boolean {
  const at = path.split('/').slice(0, -1);
  const left = is.split('/');
  let followed = 0;
  for (let part = left.shift(); part !== undefined; part = left.shift()) {
    if (part === '' || part === '.') continue;
    if (part === '..') {
      if (at.pop() === undefined) return true;
      continue;
    }
    at.push(part);
    const through = listed.get(at.join('/'));
    if (through?.kind !== 'symlink') continue;
    followed += 1;
    // Links in a circle lead nowhere.
    if (followed > MOST_LINKS) return false;
    at.pop();
    left.unshift(...through.is.split('/'));
  }
  return false;
}

/** Where an entry goes; undefined: it is left out. Throws ARCHIVE_UNSAFE. */
function placeOf(entry: ArchiveEntry, { strip, include }: Unpacking, archive: string): string | undefined {
  const { name } = entry;
  if (name.startsWith('/') || /^[A-Za-z]:[\\/]/.test(name)) throw unsafe(archive, name, 'has an absolute name');
  const parts = name.split('/').filter((part) => part !== '' && part !== '.');
  if (parts.includes('..') || name.includes('\0')) throw unsafe(archive, name, 'leads out of the destination');
  if (include !== undefined && !include.some((pattern) => matchesGlob(parts.join('/'), pattern))) return undefined;
  const path = parts.slice(strip).join('/');
  return path === '' ? undefined : path;
}

async function judged(
  entry: ArchiveEntry,
  path: string,
  at: number,
  listed: ReadonlyMap<string, Listed>,
  { strip, setuid }: Unpacking,
  archive: string,
  count: (bytes: number) => void,
): Promise<Listed> {
  const mode = entry.mode & MASK & (setuid ? 0o7777 : ~SPECIAL);
  switch (entry.kind) {
    case 'directory':
      return { path, kind: 'directory', mode, size: 0, is: '', at };
    case 'symlink': {
      if (entry.target === '' || entry.target.startsWith('/'))
        throw unsafe(
          archive,
          entry.name,
          `is a symlink that leads out of the destination (${entry.target.slice(0, 200)})`,
        );
      return { path, kind: 'symlink', mode: 0o777, size: 0, is: entry.target, at };
    }
    case 'hardlink': {
      const target = entry.target.split('/').filter((part) => part !== '' && part !== '.');
      const first = listed.get(target.slice(strip).join('/'));
      if (first?.kind !== 'file')
        throw unsafe(
          archive,
          entry.name,
          `is a hard link to ${entry.target.slice(0, 200)}, which is no file before it in the archive`,
        );
      return { ...first, path, at, same: first.same ?? first.path };
    }
    case 'file': {
      const hash = createHash('sha256');
      let size = 0;
      for await (const chunk of entry.content) {
        size += chunk.length;
        count(chunk.length);
        hash.update(chunk);
      }
      return { path, kind: 'file', mode, size, is: hash.digest('hex'), at };
    }
    default:
      throw unsafe(archive, entry.name, 'is a device or a pipe');
  }
}

const UNTRUSTED = 'Do not trust this archive. If it is right, leave the entry out with include, or have it made anew.';

function unsafe(archive: string, name: string, what: string): KkError {
  return new KkError({
    code: 'ARCHIVE_UNSAFE',
    message: `The entry ${JSON.stringify(name.slice(0, 300))} of ${archive} ${what}; nothing was unpacked.`,
    remedy: UNTRUSTED,
  });
}

function tooLarge(archive: string, what: string, limit: 'max_bytes' | 'max_entries'): KkError {
  return new KkError({
    code: 'ARCHIVE_TOO_LARGE',
    message: `${archive} ${what}; nothing was unpacked.`,
    remedy: `If it is meant to be that large, raise ${limit}.`,
  });
}

function broken(archive: string, { code, message }: BadArchive): KkError {
  if (code === 'ARCHIVE_TOO_LARGE') return tooLarge(archive, `is too large: ${message}`, 'max_bytes');
  if (code === 'ARCHIVE_UNSAFE')
    return new KkError({ code, message: `${archive} holds a name that leads out: ${message}.`, remedy: UNTRUSTED });
  return new KkError({
    code,
    message: `${archive} cannot be read: ${message}.`,
    remedy: 'See whether it is the whole file (its sha256), and a tar, tar.gz, tar.xz, tar.zst or zip.',
  });
}
