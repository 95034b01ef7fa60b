/**
 * Fingerprints of OpenPGP keys (RFC 4880, RFC 9580): a hash over one packet. gpg is not on every node, and a whole library for one hash
 * would be the largest part of the agent.
 */
import { createHash } from 'node:crypto';

/** Tag of the packet of a primary public key. */
const PUBLIC_KEY = 6;

export function isArmored(bytes: Buffer): boolean {
  return bytes.subarray(0, 200).includes('-----BEGIN PGP PUBLIC KEY BLOCK-----');
}

/** Of every primary key in it, in order; empty: it holds none, or is damaged. */
export function fingerprintsOf(bytes: Buffer): string[] {
  const blocks = isArmored(bytes) ? unarmored(bytes.toString('latin1')) : [bytes];
  return blocks.flatMap((block) =>
    packetsOf(block).flatMap(({ tag, body }) => (tag === PUBLIC_KEY ? fingerprint(body) : [])),
  );
}

/** ASCII armor: headers, an empty line, base64, and a checksum that begins with `=`. */
function unarmored(text: string): Buffer[] {
  const blocks = text.matchAll(
    /-----BEGIN PGP PUBLIC KEY BLOCK-----\r?\n(?:[^\r\n]+: [^\r\n]*\r?\n)*\s*\r?\n([\s\S]*?)(?:\r?\n=[A-Za-z0-9+/]{4})?\s*-----END/g,
  );
  return [...blocks].map(([, base64 = '']) => Buffer.from(base64, 'base64'));
}

/** The packets up to the first that is cut off. */
function packetsOf(bytes: Buffer): { tag: number; body: Buffer }[] {
  const packets: { tag: number; body: Buffer }[] = [];
  for (let at = 0; at < bytes.length; ) {
    const head = bytes[at] ?? 0;
    const found = (head & 0x40) === 0 ? oldLength(bytes, at + 1, head & 3) : newLength(bytes, at + 1);
    if ((head & 0x80) === 0 || found === undefined || found.from + found.length > bytes.length) break;
    const tag = (head & 0x40) === 0 ? (head >> 2) & 0xf : head & 0x3f;
    packets.push({ tag, body: bytes.subarray(found.from, found.from + found.length) });
    at = found.from + found.length;
  }
  return packets;
}

interface Length {
  from: number;
  length: number;
}

function oldLength(bytes: Buffer, at: number, kind: number): Length | undefined {
  const size = [1, 2, 4][kind];
  if (size === undefined || at + size > bytes.length) return undefined;
  return { from: at + size, length: bytes.readUIntBE(at, size) };
}

function newLength(bytes: Buffer, at: number): Length | undefined {
  const first = bytes[at];
  const second = bytes[at + 1];
  if (first === undefined) return undefined;
  if (first < 192) return { from: at + 1, length: first };
  if (first < 224 && second !== undefined) return { from: at + 2, length: ((first - 192) << 8) + second + 192 };
  // Keys have no partial lengths.
  return first === 255 && at + 5 <= bytes.length ? { from: at + 5, length: bytes.readUInt32BE(at + 1) } : undefined;
}

function fingerprint(body: Buffer): string[] {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(body.length);
  const hashed = (name: string, prefix: Buffer): string[] => [
    createHash(name).update(prefix).update(body).digest('hex').toUpperCase(),
  ];
  if (body[0] === 4) return hashed('sha1', Buffer.concat([Buffer.from([0x99]), length.subarray(2)]));
  if (body[0] === 6) return hashed('sha256', Buffer.concat([Buffer.from([0x9b]), length]));
  return [];
}
