import type { ServerResponse } from 'node:http';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { ErrorReport } from '../../shared/errors.ts';
import type { PeerVerdict } from '../pki/judge-peer.ts';

/** Bytes that are on their way to one node at once; thousands may ask. */
const PIECE = 64 * 1024;

/** A blob that is open for this answer. */
export interface OpenBlob {
  /** Bytes in all. */
  readonly size: number;
  /** Reads into the buffer what is there from a byte on, and gives how much came: 0 at its end. */
  read(into: Buffer, from: number): Promise<number>;
  close(): Promise<void>;
}

/** A blob, or why a node gets none. */
export type BlobAnswer = OpenBlob | { refused: ErrorReport; status: 403 | 404 };

export interface BlobRouteParts {
  peerOf(request: FastifyRequest): PeerVerdict;
  /** A blob that the node's own shares name (ENGINE 4.9). */
  blob(node: string, sha256: string): Promise<BlobAnswer>;
}

/** Files of plans for nodes: whole, or one range of bytes (RFC 9110, 14), so that an agent goes on where it was cut off. */
export function blobRoute(app: FastifyInstance, parts: BlobRouteParts): void {
  const path = '/blob/:sha256(^[0-9a-f]{64}$)';
  app.get<{ Params: { sha256: string } }>(path, { config: { access: 'node' } }, async (request, reply) => {
    const peer = parts.peerOf(request);
    const blob = await parts.blob(nameOf(peer), request.params.sha256);
    if ('refused' in blob) return reply.code(blob.status).send(blob.refused);
    try {
      const { size } = blob;
      const range = rangeOf(request.headers.range);
      const [from, to] = [range?.from ?? 0, Math.min(range?.to ?? size, size)];
      if (range !== undefined && from >= to) return await noSuchPart(reply, size);
      const first = await firstPiece(blob, from, to);
      reply.hijack();
      reply.raw.writeHead(range === undefined ? 200 : 206, {
        'content-type': 'application/octet-stream',
        'content-length': to - from,
        ...(range === undefined ? {} : { 'content-range': `bytes ${from}-${to - 1}/${size}` }),
      });
      await pour(blob, first, from, to, reply.raw);
    } finally {
      await blob.close();
    }
  });
}

/** The route lets nobody else in. */
function nameOf(peer: PeerVerdict): string {
  return peer.kind === 'node' ? peer.name : '';
}

function noSuchPart(reply: FastifyReply, size: number): FastifyReply {
  return reply
    .code(416)
    .header('content-range', `bytes */${size}`)
    .send({ code: 'REQUEST_INVALID', message: `The blob has ${size} bytes.`, remedy: 'Update kk-agent.' });
}

/** A piece of a blob, and the buffer that it and all that follow are in. */
interface Piece {
  buffer: Buffer;
  length: number;
}

/** Before the head is out: of a disk that cannot be read a node is told so, once, and does not ask again and again. */
async function firstPiece(blob: OpenBlob, from: number, to: number): Promise<Piece> {
  const buffer = Buffer.allocUnsafeSlow(Math.min(PIECE, to - from));
  return { buffer, length: buffer.length === 0 ? 0 : await blob.read(buffer, from) };
}

/**
 * Always through the same buffer: a new one for each piece, as a stream of Node takes, made the controller collect its whole heap
 * every few megabytes, which was most of what serving files cost. Resolves when the answer is out, or nobody waits for it any more.
 */
async function pour(blob: OpenBlob, { buffer, length }: Piece, from: number, to: number, answer: ServerResponse) {
  try {
    for (let [at, ready] = [from, length]; at < to; at += ready) {
      if (at > from) ready = await blob.read(buffer.subarray(0, Math.min(buffer.length, to - at)), at);
      if (ready === 0) throw new Error('it is shorter than it was');
      if (!(await written(answer, buffer.subarray(0, ready)))) return;
    }
    answer.end();
  } catch (thrown) {
    // The head is out: that it broke off is all that can be told.
    answer.destroy(thrown as Error);
  }
}

/** Resolves once the bytes are in the kernel: true; false: the connection has ended. */
function written(answer: ServerResponse, bytes: Buffer): Promise<boolean> {
  if (answer.destroyed) return Promise.resolve(false);
  return new Promise((resolve) => {
    const closed = () => resolve(false);
    answer.once('close', closed);
    answer.write(bytes, (error) => {
      answer.off('close', closed);
      resolve(!error);
    });
  });
}

/** One range from a known byte on; everything else is answered as if nothing had been asked. */
function rangeOf(header: string | undefined): { from: number; to?: number } | undefined {
  const [, from, last] = /^bytes=(\d{1,15})-(\d{0,15})$/.exec(header ?? '') ?? [];
  if (from === undefined) return undefined;
  return { from: Number(from), ...(last ? { to: Number(last) + 1 } : {}) };
}
