import type { Readable } from 'node:stream';
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import {
  ENROL_BODY_LIMIT,
  type EnrolAnswer,
  type EnrolRequest,
  enrolRequestSchema,
  JOIN_PENDING,
} from '../../shared/enrolment.ts';
import type { ErrorReport } from '../../shared/errors.ts';
import type { PeerVerdict } from '../pki/judge-peer.ts';
import { type BlobRouteParts, blobRoute } from './blob-route.ts';
import { type FetchedRouteParts, fetchedRoute } from './fetched-route.ts';
import { type SecretRouteParts, secretRoute } from './secret-route.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /**
     * Who may call the route on the agents' port. `open`: anybody; `node`: a node of the fleet; `link`: whoever shows a
     * certificate, which the link judges itself. Absent: nobody.
     */
    access?: 'open' | 'node' | 'link';
  }
}

/** Nothing else under /agent is open. */
const AGENT_PATH = '/agent/:sha256(^[0-9a-f]{64}$)';

/** The server of the agents' port. */
export type AgentApp = FastifyInstance;

/** What the routes need; `compose` hands it in. */
export interface AgentPortParts extends BlobRouteParts, FetchedRouteParts, SecretRouteParts {
  tls: { key: string; cert: string };
  /** How long one request may take, from its first byte to its last, in milliseconds. */
  requestMs: number;
  /** The join script for a node that reached us under this `host:port`. */
  joinScript(host: string | undefined): string;
  /** The packaged agent with this sha256. */
  agentFile(sha256: string): { stream: Readable; size: number } | undefined;
  enrol(
    request: EnrolRequest,
    remote: string,
  ): Promise<{ ok: true; answer: EnrolAnswer } | { ok: false; report: ErrorReport }>;
}

/**
 * The one TCP port of the controller (ENGINE 4.9). Without a certificate only /join.sh, /agent/<sha256> and /enrol answer;
 * everything else is denied before its handler, unknown paths included.
 */
export function agentPort(parts: AgentPortParts): AgentApp {
  const { requestMs } = parts;
  const app = Fastify({
    https: {
      ...parts.tls,
      requestCert: true,
      rejectUnauthorized: false,
      minVersion: 'TLSv1.3',
      handshakeTimeout: requestMs,
      headersTimeout: requestMs,
      // Node looks for late requests only this often; its default of 30 s would double the limit.
      connectionsCheckingInterval: Math.min(requestMs, 5_000),
    },
    bodyLimit: ENROL_BODY_LIMIT,
    requestTimeout: requestMs,
    // HEAD would be one more open route for each.
    exposeHeadRoutes: false,
    // A path that cannot be decoded never comes to the hooks below: it is denied here.
    frameworkErrors: (_error, request, reply) => deny(reply, parts.peerOf(request)),
    logger: false,
  }) as unknown as FastifyInstance;

  app.addHook('onRequest', async (request, reply) => {
    const access = request.routeOptions.config.access;
    if (access === 'open' && !isUpgrade(request)) return;
    const peer = parts.peerOf(request);
    if (access === 'node' && peer.kind === 'node') return;
    // The link tells a refused peer why in its own protocol: its person reads the agent's log, not a status code.
    if (access === 'link' && (peer.kind !== 'refused' || peer.code !== 'CERT_MISSING')) return;
    await deny(reply, peer);
  });
  app.addHook('onResponse', async (request) => {
    // After an upgrade that was denied nobody reads the socket any more, and no time limit of HTTP holds for it.
    if (isUpgrade(request)) request.raw.socket.destroySoon();
  });
  app.setNotFoundHandler(async (_request, reply) =>
    reply.code(404).send({ code: 'NOT_FOUND', message: 'There is nothing here.', remedy: 'Update kk-agent.' }),
  );
  app.setErrorHandler(async (error: Error & { statusCode?: number }, _request, reply) => {
    const status = error.statusCode ?? 500;
    return reply.code(status).send({
      code: status < 500 ? 'REQUEST_INVALID' : 'INTERNAL',
      message: status < 500 ? error.message : 'The controller could not answer.',
      remedy: status < 500 ? 'Update kk-agent.' : 'Look at the log of the controller.',
    });
  });

  app.get('/join.sh', { config: { access: 'open' } }, async (request, reply) =>
    reply.type('text/x-shellscript; charset=utf-8').send(parts.joinScript(request.headers.host)),
  );
  app.get<{ Params: { sha256: string } }>(AGENT_PATH, { config: { access: 'open' } }, async (request, reply) => {
    const file = parts.agentFile(request.params.sha256);
    if (!file)
      return reply.code(404).send({
        code: 'AGENT_UNKNOWN',
        message: 'No agent package has this digest.',
        remedy: 'Fetch /join.sh again: it names the current one.',
      });
    return reply.type('application/gzip').header('content-length', file.size).send(file.stream);
  });
  app.post('/enrol', { config: { access: 'open' } }, async (request, reply) => {
    const parsed = enrolRequestSchema.safeParse(request.body);
    if (!parsed.success)
      return reply
        .code(400)
        .send({ code: 'REQUEST_INVALID', message: parsed.error.message.slice(0, 300), remedy: 'Update kk-agent.' });
    const enrolled = await parts.enrol(parsed.data, request.ip);
    if (enrolled.ok) return reply.send(enrolled.answer);
    return reply.code(enrolled.report.code === JOIN_PENDING ? 202 : 403).send(enrolled.report);
  });
  blobRoute(app, parts);
  secretRoute(app, parts);
  app.register(fetchedRoute, { parts });
  return app;
}

/** Node marks such requests; its types do not say so. */
function isUpgrade(request: FastifyRequest): boolean {
  return (request.raw as { upgrade?: boolean }).upgrade === true;
}

async function deny(reply: FastifyReply, peer: PeerVerdict): Promise<void> {
  const report =
    peer.kind === 'refused'
      ? { code: peer.code, message: `Refused: ${peer.detail}.`, remedy: peer.remedy }
      : { code: 'NOT_ALLOWED', message: 'Nodes may not ask for this.', remedy: 'Update kk-agent.' };
  await reply.code(403).send(report);
}
