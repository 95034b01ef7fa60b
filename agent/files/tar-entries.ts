import { Parser, type ReadEntry } from 'tar';
import type { ArchiveEntry } from './archive.ts';

const KINDS: Readonly<Record<string, ArchiveEntry['kind']>> = {
  File: 'file',
  OldFile: 'file',
  ContiguousFile: 'file',
  Directory: 'directory',
  GNUDumpDir: 'directory',
  SymbolicLink: 'symlink',
  Link: 'hardlink',
};

/** The entries of a tar, one at a time: the next is read when this one's content is. Throws what is wrong with it. */
export async function* tarEntries(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<ArchiveEntry> {
  const waiting: ReadEntry[] = [];
  let current: ReadEntry | undefined;
  let wake = (): void => {};
  let isOver = false;
  let failed: unknown;
  const parser = new Parser({
    strict: true,
    onReadEntry(entry) {
      entry.on('error', () => {});
      waiting.push(entry);
      wake();
    },
  });
  const end = (error?: unknown): void => {
    failed ??= error;
    isOver = true;
    // Who reads an entry waits for bytes that do not come any more.
    if (error !== undefined) for (const entry of [current, ...waiting]) entry?.emit('error', error);
    wake();
  };
  parser.on('error', end);
  parser.on('end', () => end());
  const source = bytes[Symbol.asyncIterator]();
  const feeding = feed(source, parser, () => isOver).catch(end);
  try {
    for (;;) {
      const entry = waiting.shift();
      if (entry !== undefined) {
        current = entry;
        yield entryOf(entry);
        current = undefined;
        // What nobody read is in the way of what follows.
        if (!entry.emittedEnd) entry.resume();
        continue;
      }
      if (failed !== undefined) throw failed;
      if (isOver) return;
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  } finally {
    isOver = true;
    for (const entry of waiting) entry.resume();
    await source.return?.(undefined);
    parser.emit('drain');
    await feeding;
  }
}

async function feed(source: AsyncIterator<Uint8Array>, parser: Parser, isOver: () => boolean): Promise<void> {
  for (let next = await source.next(); !next.done && !isOver(); next = await source.next()) {
    if (parser.write(Buffer.from(next.value)) || isOver()) continue;
    await new Promise<void>((resolve) => parser.once('drain', () => resolve()));
  }
  if (!isOver()) parser.end();
}

function entryOf(entry: ReadEntry): ArchiveEntry {
  return {
    name: entry.path,
    kind: KINDS[entry.type] ?? 'other',
    mode: entry.mode ?? 0o644,
    size: entry.size,
    target: entry.linkpath ?? '',
    content: entry as unknown as AsyncIterable<Uint8Array>,
  };
}
