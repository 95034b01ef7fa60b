import type { Readable } from 'node:stream';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { ErrorReport } from '../../shared/errors.ts';
import type { PeerVerdict } from '../pki/judge-peer.ts';

/** Bytes of a blob and how many there are in all; or why a node gets none. */
export type BlobAnswer = { stream: Readable; size: number } | { refused: ErrorReport; status: 403 | 404 };

export interface BlobRouteParts {
  peerOf(request: FastifyRequest): PeerVerdict;
  /** Bytes `from` up to `to` (not included) of a blob that the node's own shares name (ENGINE 4.9). */
  blob(node: string, sha256: string, range: { from: number; to?: number }): Promise<BlobAnswer>;
}

/** Files of plans for nodes: whole, or one range of bytes (RFC 9110, 14), so that an agent goes on where it was cut off. */
export function blobRoute(app: FastifyInstance, parts: BlobRouteParts): void {
  const path = '/blob/:sha256(^[0-9a-f]{64}$)';
  app.get<{ Params: { sha256: string } }>(path, { config: { access: 'node' } }, async (request, reply) => {
    const peer = parts.peerOf(request);
    const range = rangeOf(request.headers.range);
    const found = await parts.blob(nameOf(peer), request.params.sha256, range ?? { from: 0 });
    if ('refused' in found) return reply.code(found.status).send(found.refused);
    const { stream, size } = found;
    if (range === undefined) return send(reply, stream, size);
    const to = Math.min(range.to ?? size, size);
    if (range.from >= to) {
      stream.destroy();
      return reply
        .code(416)
        .header('content-range', `bytes */${size}`)
        .send({
          code: 'REQUEST_INVALID',
          message: `The blob has ${size} bytes.`,
          remedy: 'Update kk-agent.',
        });
    }
    reply.code(206).header('content-range', `bytes ${range.from}-${to - 1}/${size}`);
    return send(reply, stream, to - range.from);
  });
}

/** The route lets nobody else in. */
function nameOf(peer: PeerVerdict): string {
  return peer.kind === 'node' ? peer.name : '';
}

function send(reply: FastifyReply, stream: Readable, length: number): FastifyReply {
  return reply.type('application/octet-stream').header('content-length', length).send(stream);
}

/** One range from a known byte on; everything else is answered as if nothing had been asked. */
function rangeOf(header: string | undefined): { from: number; to?: number } | undefined {
  const [, from, last] = /^bytes=(\d{1,15})-(\d{0,15})$/.exec(header ?? '') ?? [];
  if (from === undefined) return undefined;
  return { from: Number(from), ...(last ? { to: Number(last) + 1 } : {}) };
}
