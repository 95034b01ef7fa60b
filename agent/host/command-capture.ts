import { openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { sync } from '../durable/files.ts';
import { KEPT, NAMES, type StreamStatus } from './command-folder.ts';

/** Bytes of a stream that are kept on the node. */
const STREAM_LIMIT = 64 * 1024 * 1024;
/** Bytes of the index of arrivals. */
const MERGED_LIMIT = 1024 * 1024;

export interface Capture {
  take(data: Buffer): void;
  /** After the last byte. */
  end(): Promise<StreamStatus>;
}

/** The index of arrivals, shared by both streams: appends until the limit, or until the disk is full. */
export function openMerged(folder: string): (line: string) => void {
  const fd = openSync(join(folder, NAMES.merged), 'a', 0o600);
  let room = MERGED_LIMIT;
  return (line) => {
    if (line.length > room) return;
    room -= line.length;
    try {
      writeSync(fd, line);
    } catch {
      room = 0;
    }
  };
}

/** Appends a stream exactly as it comes; beyond the limit or a full disk it is only counted, and its tail kept. */
export function openCapture(folder: string, name: 'stdout' | 'stderr', merged: (line: string) => void): Capture {
  const fd = openSync(join(folder, name), 'a', 0o600);
  let bytes = 0;
  let stored = 0;
  let full = false;
  let tail: Buffer = Buffer.alloc(0);

  function store(data: Buffer): void {
    const fits = data.subarray(0, STREAM_LIMIT - stored);
    let done = 0;
    try {
      while (done < fits.length) done += writeSync(fd, fits, done);
    } catch {
      full = true;
    }
    stored += done;
    full ||= stored === STREAM_LIMIT;
  }

  return {
    take(data) {
      if (!full) store(data);
      merged(`${name === 'stdout' ? 'o' : 'e'} ${bytes} ${data.length}\n`);
      bytes += data.length;
      tail = Buffer.concat([tail, data.subarray(-KEPT)]).subarray(-KEPT);
    },
    async end() {
      try {
        if (stored > 0) await sync(join(folder, name), 'agent.command.output');
      } catch {
        // What the disk lost will be missing when it is read; the command's own end counts more.
      }
      return stored === bytes ? { bytes, stored } : { bytes, stored, tail: tail.toString('base64') };
    },
  };
}
