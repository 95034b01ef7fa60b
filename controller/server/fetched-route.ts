import type { FastifyInstance } from 'fastify';
import { KkError } from '../../shared/errors.ts';
import { PIECE, Piece, type PieceAnswer } from '../../shared/fetched.ts';
import type { BlobRouteParts } from './blob-route.ts';

export interface FetchedRouteParts extends Pick<BlobRouteParts, 'peerOf'> {
  /** Takes in a piece of a file that a fetch of the node's brings. Throws KkError. */
  fetched(node: string, piece: Piece, bytes: Uint8Array): Promise<PieceAnswer>;
}

/** Files of nodes for the controller, in pieces that one request bears. */
export async function fetchedRoute(app: FastifyInstance, { parts }: { parts: FetchedRouteParts }): Promise<void> {
  app.addContentTypeParser('application/octet-stream', { parseAs: 'buffer' }, (_request, body, done) =>
    done(null, body),
  );
  app.put<{ Body: Buffer | undefined }>(
    '/fetched',
    { config: { access: 'node' }, bodyLimit: PIECE },
    async (request, reply) => {
      const peer = parts.peerOf(request);
      const piece = Piece.safeParse(request.query);
      if (peer.kind !== 'node' || !piece.success) {
        const message = 'The piece of a file is not understood.';
        return reply.code(400).send({ code: 'REQUEST_INVALID', message, remedy: 'Update kk-agent.' });
      }
      try {
        return await parts.fetched(peer.name, piece.data, request.body ?? Buffer.alloc(0));
      } catch (thrown) {
        if (!(thrown instanceof KkError)) throw thrown;
        const { code, message, remedy } = thrown.report;
        return reply.code(code === 'FETCH_NOT_ASKED' ? 403 : 409).send({ code, message, remedy });
      }
    },
  );
}
