import { Readable } from 'node:stream';
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import { KkError, reportOf } from '../../shared/errors.ts';
import {
  AdoptBody,
  ApplyBody,
  AskBody,
  BackupBody,
  BlobsBody,
  BootstrapBody,
  CancelBody,
  ConfirmBody,
  CopyBody,
  DecideBody,
  ExecBody,
  FactsBody,
  JoinBody,
  MAX_BODY,
  PermitBody,
  RemoveBody,
  ResumeBody,
  RetryBody,
  RollbackBody,
  ScanBody,
  SkipBody,
  TokenBody,
  UpgradeBody,
} from '../views/requests.ts';
import type { Operations } from './operations.ts';
import { bodyOf, invalid, sendError } from './operator-errors.ts';
import { shellRoute } from './shell-route.ts';

type WithId = { Params: { id: string } };
type WithName = { Params: { name: string } };

/**
 * The operator API: what `kk-controller`'s commands call. It has no identity check of its own: it is served on a unix
 * socket that only its owner may open (`listenOnSocket`), never on TCP. No port, no process: `inject` is all a test needs.
 * `headers` go with every answer.
 */
export function operatorApi(operations: Operations, headers: Readonly<Record<string, string>> = {}): FastifyInstance {
  const app = Fastify({ bodyLimit: 1024 * 1024, forceCloseConnections: true });
  const large = { bodyLimit: MAX_BODY };
  app.addHook('onRequest', async (_request, reply) => void reply.headers(headers));
  app.setErrorHandler((error, _request, reply) => sendError(reply, error));
  app.setNotFoundHandler((request, reply) =>
    reply.code(404).send({ error: invalid(`There is no ${request.method} ${request.url} here.`).report }),
  );

  app.get('/v1/status', () => operations.status());

  app.post('/v1/runs', large, async (request, reply) => {
    const { sources, options } = bodyOf(ApplyBody, request.body);
    const answer = await operations.apply(present(sources), options);
    return reply.code('run' in answer ? 201 : 422).send(answer);
  });
  app.post('/v1/exec', async (request, reply) => {
    const { forks, ...body } = bodyOf(ExecBody, request.body);
    return reply.code(201).send(await operations.exec({ ...body, forks }));
  });
  app.post('/v1/facts', async (request, reply) => {
    return reply.code(201).send(await operations.gatherFacts(bodyOf(FactsBody, request.body)));
  });
  app.post('/v1/scan', async (request, reply) => {
    const { from, ...body } = bodyOf(ScanBody, request.body);
    return reply.code(201).send(await operations.scan({ ...body, from }));
  });
  app.post('/v1/facts/known', (request) => operations.facts(bodyOf(FactsBody, request.body).selector));
  app.post('/v1/copy', large, async (request, reply) => {
    return reply.code(201).send(await operations.copy(bodyOf(CopyBody, request.body)));
  });
  app.post('/v1/blobs/missing', large, async (request) => {
    return { missing: await operations.missingBlobs(bodyOf(BlobsBody, request.body).sha256) };
  });
  // The body is taken as it comes: files of plans are of any size.
  app.addContentTypeParser('application/octet-stream', (_request, payload, done) => done(null, payload));
  const anySize = { bodyLimit: Number.MAX_SAFE_INTEGER };
  app.put<{ Params: { sha256: string }; Body: Readable }>(
    '/v1/blobs/:sha256(^[0-9a-f]{64}$)',
    anySize,
    async (request, reply) => {
      await operations.addBlob(request.params.sha256, request.body);
      return reply.code(201).send({});
    },
  );
  void app.register(shellRoute, { operations });
  app.get<{ Querystring: { limit?: string } }>('/v1/runs', (request) => operations.runs(limitOf(request.query.limit)));
  app.get<WithId>('/v1/runs/:id', (request) => operations.run(request.params.id));
  app.get<WithId & { Querystring: { logs?: string; live?: string; revision?: string } }>(
    '/v1/runs/:id/stream',
    (request, reply) => {
      const { logs, live, revision } = request.query;
      const wish = { logs: logs === '1', live: live !== '0', revision: Number(revision ?? 1) };
      return sendLines(request, reply, (signal) => operations.follow(request.params.id, wish, signal));
    },
  );
  app.post<WithId>('/v1/runs/:id/cancel', async (request) => {
    await operations.cancel(request.params.id, bodyOf(CancelBody, request.body));
    return {};
  });
  app.post<WithId>('/v1/runs/:id/confirm', async (request) => {
    await operations.confirm(request.params.id, present(bodyOf(ConfirmBody, request.body)));
    return {};
  });
  app.post<WithId>('/v1/runs/:id/pause', async (request) => {
    await operations.pause(request.params.id, bodyOf(AskBody, request.body).by);
    return {};
  });
  app.post<WithId>('/v1/runs/:id/unpause', async (request) => {
    await operations.unpause(request.params.id, bodyOf(AskBody, request.body).by);
    return {};
  });
  app.post<WithId>('/v1/runs/:id/retry', (request) =>
    operations.retry(request.params.id, bodyOf(RetryBody, request.body)),
  );
  app.post<WithId>('/v1/runs/:id/skip', (request) =>
    operations.skip(request.params.id, bodyOf(SkipBody, request.body)),
  );
  app.post<WithId>('/v1/runs/:id/rollback', (request) =>
    operations.rollback(request.params.id, present(bodyOf(RollbackBody, request.body))),
  );
  app.post<WithId>('/v1/runs/:id/permit-release', async (request) => {
    await operations.releasePermit(request.params.id, bodyOf(PermitBody, request.body));
    return {};
  });
  app.post('/v1/resume', large, async (request, reply) => {
    const { sources, options } = bodyOf(ResumeBody, request.body);
    const answer = await operations.resume(present(sources), present(options));
    return reply.code('run' in answer ? 200 : 422).send(answer);
  });
  app.post('/v1/adopt', async (request) => {
    const { run, by } = bodyOf(AdoptBody, request.body);
    return { runs: await operations.adopt(run, by) };
  });

  app.get('/v1/kubeconfigs', async () => ({ clusters: await operations.clusters() }));
  app.get<WithName>('/v1/kubeconfigs/:name', async (request) => ({
    content: await operations.kubeconfig(request.params.name),
  }));

  app.post('/v1/backup', (request) => {
    const { file, logs } = bodyOf(BackupBody, request.body);
    return operations.backup(file, logs);
  });

  app.get('/v1/nodes', () => operations.nodes());
  app.post<WithName>('/v1/nodes/:name/revoke', (request) => operations.revoke(request.params.name));
  for (const [verb, what] of [
    ['approve', 'approved'],
    ['reject', 'rejected'],
  ] as const) {
    app.post<WithName>(`/v1/nodes/:name/${verb}`, (request) =>
      operations.decideJoin(request.params.name, { what, ...bodyOf(DecideBody, request.body) }),
    );
  }
  app.post<WithName>('/v1/nodes/:name/remove', (request) =>
    operations.removeNode(request.params.name, bodyOf(RemoveBody, request.body)),
  );
  app.post('/v1/nodes/upgrade', (request, reply) => {
    const wish = bodyOf(UpgradeBody, request.body);
    return sendLines(request, reply, (signal) => operations.upgrade(wish, signal));
  });

  app.post('/v1/tokens', async (request, reply) => {
    return reply.code(201).send(await operations.createToken(present(bodyOf(TokenBody, request.body))));
  });
  app.get('/v1/tokens', () => operations.tokens());
  app.delete<WithId>('/v1/tokens/:id', async (request) => {
    await operations.deleteToken(request.params.id);
    return {};
  });
  app.post('/v1/join-command', async (request, reply) => {
    return reply.code(201).send(await operations.joinCommand(present(bodyOf(JoinBody, request.body))));
  });
  app.post('/v1/bootstrap', large, (request, reply) => {
    const { sources, nodes } = bodyOf(BootstrapBody, request.body);
    return sendLines(request, reply, (signal) => operations.bootstrap(present(sources), nodes, signal));
  });
  return app;
}

/**
 * One JSON object a line, each sent when it is there. What goes wrong before the first line is an HTTP error; after it,
 * a last line `{"type":"error","error":…}`. When the reader goes away, the source is aborted.
 */
async function sendLines(
  request: FastifyRequest,
  reply: FastifyReply,
  start: (signal: AbortSignal) => AsyncIterable<unknown>,
): Promise<FastifyReply> {
  const gone = new AbortController();
  request.raw.socket.once('close', () => gone.abort());
  reply.raw.once('close', () => gone.abort());
  const lines = start(gone.signal)[Symbol.asyncIterator]();
  const first = await lines.next();
  const body = async function* (): AsyncGenerator<string> {
    try {
      for (let line = first; !line.done; line = await lines.next()) yield `${JSON.stringify(line.value)}\n`;
    } catch (thrown) {
      if (!gone.signal.aborted) yield `${JSON.stringify({ type: 'error', error: reportOf(thrown) })}\n`;
    } finally {
      await lines.return?.();
    }
  };
  return reply.type('application/x-ndjson').send(Readable.from(body(), { objectMode: false }));
}

/** Without the keys whose value is undefined, which `exactOptionalPropertyTypes` tells apart from absent ones. */
function present<T extends object>(value: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(value).filter(([, field]) => field !== undefined)) as never;
}

function limitOf(text: string | undefined): number {
  const limit = Number(text ?? 50);
  if (Number.isInteger(limit) && limit > 0 && limit <= 10_000) return limit;
  throw new KkError({
    code: 'REQUEST_INVALID',
    message: `${text} is not a number of runs between 1 and 10000.`,
    remedy: 'Ask for fewer.',
  });
}
