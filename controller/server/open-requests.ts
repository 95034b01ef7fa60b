import type { FastifyInstance } from 'fastify';

/**
 * Counts the requests that are open: from their first byte until the answer is out, or nobody waits for it any more, which
 * fastify tells no hook. `closed` is called when one ends.
 */
export function openRequests(app: FastifyInstance, closed: () => void): { readonly size: number } {
  const open = new Set<object>();
  app.addHook('onRequest', async (_request, { raw }) => {
    open.add(raw);
    raw.once('close', () => {
      open.delete(raw);
      closed();
    });
  });
  return open;
}
