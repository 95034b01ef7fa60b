import type { Captured } from '../../shared/share.ts';
import type { CapturedOutput } from '../host/host.ts';

/**
 * A captured stream as text. Bytes that are no UTF-8 become U+FFFD (the exact ones are in the file on the node); a
 * character that the cut between head and tail went through is mended, or left out where the middle is missing.
 */
export function capturedText({ head, tail, bytes }: CapturedOutput): Captured {
  if (head.length + tail.length === bytes) {
    const cut = characterStart(head, head.length);
    const rest = Buffer.concat([head.subarray(cut), tail]);
    return { head: head.toString('utf8', 0, cut), tail: rest.toString('utf8'), bytes };
  }
  return {
    head: head.toString('utf8', 0, characterStart(head, head.length)),
    tail: tail.toString('utf8', continuationEnd(tail)),
    bytes,
  };
}

export const NOTHING: Captured = { head: '', tail: '', bytes: 0 };

/** The end of the last whole character before `end`: a lead byte announces how many follow (UTF-8, at most 4 bytes). */
function characterStart(data: Buffer, end: number): number {
  for (let back = 1; back <= Math.min(3, end); back += 1) {
    const byte = data[end - back] as number;
    if ((byte & 0b1100_0000) === 0b1000_0000) continue;
    const length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1;
    return length > back ? end - back : end;
  }
  return end;
}

function continuationEnd(data: Buffer): number {
  let start = 0;
  while (start < 3 && ((data[start] ?? 0) & 0b1100_0000) === 0b1000_0000) start += 1;
  return start;
}

/** The last lines of a stream, for an error's evidence. */
export function lastLines({ head, tail }: Captured, lines: number): string {
  const text = (tail === '' ? head : tail.length > 2000 ? tail : head + tail).trimEnd();
  return text.split('\n').slice(-lines).join('\n').slice(-4000);
}
