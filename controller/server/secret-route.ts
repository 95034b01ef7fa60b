import type { FastifyInstance } from 'fastify';
import type { ErrorReport } from '../../shared/errors.ts';
import type { BlobRouteParts } from './blob-route.ts';

/** The value of a secret, or why a node gets none. */
export type SecretAnswer = { value: string } | { refused: ErrorReport; status: 403 | 404 | 500 };

export interface SecretRouteParts extends Pick<BlobRouteParts, 'peerOf'> {
  /** A secret that a task of the node's own names. */
  secret(node: string, run: string, name: string): Promise<SecretAnswer>;
}

/** Secrets of plans for nodes, one at a time. */
export function secretRoute(app: FastifyInstance, parts: SecretRouteParts): void {
  app.get<{ Params: { run: string; name: string } }>(
    '/secret/:run/:name',
    { config: { access: 'node' } },
    async (request, reply) => {
      const peer = parts.peerOf(request);
      const { run, name } = request.params;
      const found = await parts.secret(peer.kind === 'node' ? peer.name : '', run, name);
      reply.header('cache-control', 'no-store');
      if ('refused' in found) return reply.code(found.status).send(found.refused);
      return reply.type('text/plain; charset=utf-8').send(found.value);
    },
  );
}
