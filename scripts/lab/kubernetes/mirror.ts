import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { basename, join, normalize } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { MANIFEST_TYPE } from './images.ts';

/** The port of a mirror when nobody says otherwise. */
export const MIRROR_PORT = 8080;

/** A mirror that is being served. */
export interface Mirror {
  /** e.g. `http://10.88.20.1:8080`. */
  url: string;
  /** Paths that were asked for, in order, with the method: `GET /v2/pause/manifests/3.2`. */
  asked: readonly string[];
  /** Beginnings of paths, such as `/v2/pause/`, that are answered as if nothing were there. */
  hidden: Set<string>;
  close(): Promise<void>;
}

/**
 * Serves the folder that `forge` made as release servers, registry and package repository in one: files, with ranges and
 * ETags, and with the headers by which a registry tells a manifest.
 */
export async function serveMirror(root: string, host: string, port = MIRROR_PORT): Promise<Mirror> {
  const asked: string[] = [];
  const hidden = new Set<string>();
  const server = createServer((request, response) => {
    asked.push(`${request.method} ${request.url}`);
    const isHidden = [...hidden].some((start) => request.url?.startsWith(start));
    // Who asked may be gone in the middle; that is all there is to know about it.
    (isHidden ? notHere(response) : answer(root, request, response)).catch(() => response.destroy());
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, resolve);
  });
  return { url: `http://${host}:${portOf(server)}`, asked, hidden, close: () => close(server) };
}

async function notHere(response: ServerResponse): Promise<void> {
  response.writeHead(404, { 'content-type': 'text/plain' }).end('not here\n');
}

function portOf(server: Server): number {
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

async function close(server: Server): Promise<void> {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
}

async function answer(root: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const path = normalize(decodeURIComponent(new URL(request.url ?? '/', 'http://mirror').pathname));
  if (request.method !== 'GET' && request.method !== 'HEAD') return void response.writeHead(405).end();
  if (path === '/v2/' || path === '/v2') return void response.writeHead(200, { 'content-length': 0 }).end();
  const file = join(root, path);
  const found = await stat(file).catch(() => undefined);
  if (!found?.isFile()) return notHere(response);

  const etag = `"${found.size.toString(16)}-${Math.round(found.mtimeMs).toString(16)}"`;
  const headers = { ...headersOf(path), etag, 'accept-ranges': 'bytes' };
  const start = rangeStart(request, etag, found.size);
  if (start === undefined) response.writeHead(200, { ...headers, 'content-length': found.size });
  else {
    const range = `bytes ${start}-${found.size - 1}/${found.size}`;
    response.writeHead(206, { ...headers, 'content-length': found.size - start, 'content-range': range });
  }
  if (request.method === 'HEAD') return void response.end();
  await pipeline(createReadStream(file, { start: start ?? 0 }), response);
}

/** Where `Range: bytes=N-` wants to go on; undefined: from the beginning, as when the file is another one by now. */
function rangeStart(request: IncomingMessage, etag: string, size: number): number | undefined {
  const [, first] = /^bytes=(\d+)-$/.exec(request.headers.range ?? '') ?? [];
  const condition = request.headers['if-range'];
  if (first === undefined || (condition !== undefined && condition !== etag)) return undefined;
  return Number(first) < size ? Number(first) : undefined;
}

function headersOf(path: string): Record<string, string> {
  const [, kind] = /^\/v2\/.+\/(manifests|blobs)\//.exec(path) ?? [];
  const named = basename(path).startsWith('sha256:') ? { 'docker-content-digest': basename(path) } : {};
  return { 'content-type': kind === 'manifests' ? MANIFEST_TYPE : 'application/octet-stream', ...named };
}
