import { statSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { isSystemError } from '../../shared/errors.ts';
import { KEPT, type StreamStatus } from './command-folder.ts';
import type { CapturedOutput } from './host.ts';

export type OnOutput = (stream: 'stdout' | 'stderr', offset: number, data: Buffer) => void;

const CHUNK = 64 * 1024;

/** Reads exactly the bytes there are between `from` and `to`. */
async function readRange(path: string, from: number, to: number): Promise<Buffer> {
  if (to <= from) return Buffer.alloc(0);
  const handle = await open(path, 'r');
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(to - from), 0, to - from, from);
    return buffer.subarray(0, bytesRead);
  } finally {
    await handle.close();
  }
}

/** Head and tail of an ended stream; they never overlap. What a full disk did not take is known from the status. */
export async function capturedOutput(
  folder: string,
  name: 'stdout' | 'stderr',
  status: StreamStatus,
): Promise<CapturedOutput> {
  const file = join(folder, name);
  const { bytes, stored } = status;
  const first = await readRange(file, 0, Math.min(KEPT, stored));
  if (status.tail === undefined) {
    return { head: first, tail: await readRange(file, Math.max(first.length, bytes - KEPT), bytes), bytes, file };
  }
  const last = Buffer.from(status.tail, 'base64');
  const lastAt = bytes - last.length;
  if (lastAt > first.length) return { head: first, tail: last, bytes, file };
  const known = Buffer.concat([first, last.subarray(first.length - lastAt)]);
  return { head: known.subarray(0, KEPT), tail: known.subarray(Math.max(KEPT, known.length - KEPT)), bytes, file };
}

/** False: a power cut took from what the command wrote, which is not synced as its status is. */
export function outputIsWhole(folder: string, status: Record<'stdout' | 'stderr', StreamStatus>): boolean {
  return (['stdout', 'stderr'] as const).every((name) => {
    const { stored } = status[name];
    return stored === 0 || (statSync(join(folder, name), { throwIfNoEntry: false })?.size ?? 0) >= stored;
  });
}

/** Follows the two files of a command as they grow. */
export interface Follower {
  /** Hands on what came since the last time. */
  pump(): Promise<void>;
  close(): Promise<void>;
}

export function followOutput(folder: string, onOutput: OnOutput | undefined): Follower {
  if (onOutput === undefined) return { pump: async () => {}, close: async () => {} };
  const streams = (['stdout', 'stderr'] as const).map((name) => ({
    name,
    offset: 0,
    handle: undefined as FileHandle | undefined,
  }));

  async function pumpOne(stream: (typeof streams)[number]): Promise<void> {
    try {
      stream.handle ??= await open(join(folder, stream.name), 'r');
    } catch (thrown) {
      if (isSystemError(thrown, 'ENOENT')) return;
      throw thrown;
    }
    for (;;) {
      const { buffer, bytesRead } = await stream.handle.read(Buffer.allocUnsafe(CHUNK), 0, CHUNK, stream.offset);
      if (bytesRead === 0) return;
      onOutput?.(stream.name, stream.offset, buffer.subarray(0, bytesRead));
      stream.offset += bytesRead;
    }
  }

  return {
    pump: async () => {
      for (const stream of streams) await pumpOne(stream);
    },
    close: async () => {
      for (const stream of streams) await stream.handle?.close();
    },
  };
}
