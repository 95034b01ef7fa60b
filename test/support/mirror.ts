import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Test } from 'tap';

export type Answer = (request: IncomingMessage, reply: ServerResponse) => void;

/** A web server that answers by path; what was asked is kept. */
export async function mirror(t: Test, answers: Record<string, Answer | Buffer | string>) {
  const asked: { path: string; headers: IncomingMessage['headers'] }[] = [];
  const http = createServer((request, reply) => {
    const path = request.url ?? '';
    asked.push({ path, headers: request.headers });
    const answer = answers[path];
    if (typeof answer === 'function') answer(request, reply);
    else if (answer === undefined) reply.writeHead(404).end('no');
    else reply.end(answer);
  });
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
  const stop = () => {
    http.closeAllConnections();
    return new Promise<void>((resolve) => void http.close(() => resolve()));
  };
  t.teardown(stop);
  return { url: `http://127.0.0.1:${(http.address() as AddressInfo).port}`, asked, answers, stop };
}
