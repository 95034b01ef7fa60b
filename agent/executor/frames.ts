/**
 * Records as bytes: `[u32 length][u32 crc32 of the payload][payload]`, little endian. The payload is the JSON
 * `[number, synced, record]`: `number` counts 1, 2, 3 … in the file, `synced` is the highest number that was known to be
 * on disk when this record was written. With it a torn tail (a power cut, harmless) can be told from damage to what had
 * been synced (not harmless): a broken record N is damage exactly if another record says `synced >= N`. So that the last one has another,
 * a journal at rest ends with a mark: a frame of number 0, which holds no record and is written over. Pure.
 */
import { crc32 } from 'node:zlib';

const HEAD = 8;
/** No record is larger; a length above this is garbage. */
export const RECORD_LIMIT = 64 * 1024 * 1024;

export function encodeFrame(number: number, synced: number, record: unknown): Buffer {
  const payload = Buffer.from(JSON.stringify([number, synced, record]), 'utf8');
  if (payload.length > RECORD_LIMIT) throw new RangeError(`a journal record of ${payload.length} bytes`);
  const frame = Buffer.allocUnsafe(HEAD + payload.length);
  frame.writeUInt32LE(payload.length, 0);
  frame.writeUInt32LE(crc32(payload), 4);
  payload.copy(frame, HEAD);
  return frame;
}

/** Says that everything up to `synced` is on disk. Shorter than the frame of any record. */
export function encodeMark(synced: number): Buffer {
  return encodeFrame(0, synced, null);
}

interface Frame {
  number: number;
  synced: number;
  record: unknown;
  end: number;
}

/** The record whose frame `bytes` are; undefined when they are not one, whole and sound. */
export function decodeFrame(bytes: Buffer): unknown {
  return frameAt(bytes, 0)?.record;
}

/** The frame at `offset`, or undefined when no whole and sound one is there. */
function frameAt(bytes: Buffer, offset: number): Frame | undefined {
  if (offset + HEAD > bytes.length) return undefined;
  const length = bytes.readUInt32LE(offset);
  const end = offset + HEAD + length;
  if (length < 2 || length > RECORD_LIMIT || end > bytes.length || bytes[offset + HEAD] !== 0x5b) return undefined;
  const payload = bytes.subarray(offset + HEAD, end);
  if (crc32(payload) !== bytes.readUInt32LE(offset + 4)) return undefined;
  const [number, synced, record] = JSON.parse(payload.toString('utf8')) as [number, number, unknown];
  return { number, synced, record, end };
}

export interface Scan {
  records: unknown[];
  /** Where each of them begins, in bytes. */
  starts: number[];
  /** Number of the last sound record; 0: none. */
  last: number;
  /** Bytes up to the end of the last sound record; what follows was never known to be on disk, unless `damaged`. */
  end: number;
  /** Bytes behind the end that are of a write that was cut short. */
  torn: number;
  /** Offset of a record that had been synced and is not readable any more. */
  damaged?: number;
}

/** Reads a journal file's bytes from the start. Never throws. */
export function scanFrames(bytes: Buffer): Scan {
  const records: unknown[] = [];
  const starts: number[] = [];
  let offset = 0;
  let last = 0;
  let synced = 0;
  while (offset < bytes.length) {
    const frame = frameAt(bytes, offset);
    if (frame === undefined || frame.number !== last + 1) break;
    records.push(frame.record);
    starts.push(offset);
    last = frame.number;
    synced = Math.max(synced, frame.synced);
    offset = frame.end;
  }
  let torn = bytes.length - offset;
  for (let at = offset; at < bytes.length; at += 1) {
    const later = frameAt(bytes, at);
    if (later === undefined) continue;
    synced = Math.max(synced, later.synced);
    if (at === offset && later.number === 0) torn -= later.end - at;
    at = later.end - 1;
  }
  const sound = { records, starts, last, end: offset, torn };
  return synced > last ? { ...sound, damaged: offset } : sound;
}
