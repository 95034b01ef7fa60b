import { type IncomingMessage, request } from 'node:http';
import { type ErrorReport, KkError } from '../../shared/errors.ts';
import type { Identity } from '../identity/identity-store.ts';
import { openToController } from '../identity/open-to-controller.ts';
import { Away, type Opened, type Source } from './source.ts';

/** For the connection and its handshake; and until the next byte of an answer. */
const CONNECT_MS = 15_000;
const SILENT_MS = 30_000;

export interface ControllerParts {
  identity(): Promise<Identity | undefined>;
  /** Epoch milliseconds. */
  nowMs: () => number;
  /** Makes the connection; default: the real one. */
  open?: typeof openToController;
}

/**
 * A file of the plan, from whichever endpoint of the controller answers. While none does the step waits, as long as it may
 * last: the agent goes on by itself when the controller is back.
 */
export function blobFromController(sha256: string, parts: ControllerParts): Source {
  return {
    name: 'the controller',
    patience: undefined,
    open: (offset, signal) => openBlob(sha256, offset, signal, parts),
  };
}

async function openBlob(sha256: string, offset: number, signal: AbortSignal, parts: ControllerParts): Promise<Opened> {
  const headers: Record<string, string> = offset > 0 ? { range: `bytes=${offset}-` } : {};
  const answer = await askController({ method: 'GET', path: `/blob/${sha256}`, headers }, signal, parts);
  if (answer.statusCode === 416) {
    answer.destroy();
    if (offset === 0) throw new Away('the controller has no such part of the file');
    return openBlob(sha256, 0, signal, parts);
  }
  const length = Number(answer.headers['content-length'] ?? Number.NaN);
  const from = answer.statusCode === 206 ? offset : 0;
  return { stream: answer, offset: from, total: Number.isFinite(length) ? from + length : undefined };
}

export interface Asking {
  method: 'GET' | 'PUT';
  path: string;
  headers: Record<string, string>;
  body?: Uint8Array;
}

/** An answer below 400, or that there are not so many bytes (416). Throws KkError with what the controller refuses, {@link Away} when it cannot be asked now. */
export async function askController(
  asking: Asking,
  signal: AbortSignal,
  { identity: load, nowMs, open = openToController }: ControllerParts,
): Promise<IncomingMessage> {
  const identity = await load();
  let why = 'this node has not joined';
  let refused: ErrorReport | undefined;
  for (const endpoint of identity?.endpoints ?? []) {
    signal.throwIfAborted();
    try {
      const socket = await open(endpoint, identity as Identity, { now: nowMs, timeoutMs: CONNECT_MS });
      socket.setTimeout(SILENT_MS, () => socket.destroy(new Error(`nothing came for ${SILENT_MS / 1000} s`)));
      const answer = await ask(asking, new URL(endpoint), socket, signal);
      if ((answer.statusCode ?? 500) < 400 || answer.statusCode === 416) return answer;
      refused = answer.statusCode === 503 ? undefined : refusalIn(await textOf(answer));
      why = `${endpoint} answered ${answer.statusCode}`;
    } catch (thrown) {
      signal.throwIfAborted();
      why = thrown instanceof Error ? thrown.message : String(thrown);
    }
    if (refused !== undefined) throw new KkError(refused);
  }
  throw new Away(why);
}

function ask(
  { method, path, headers, body }: Asking,
  { host }: URL,
  socket: Awaited<ReturnType<typeof openToController>>,
  signal: AbortSignal,
): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const about =
      body === undefined ? {} : { 'content-type': 'application/octet-stream', 'content-length': body.length };
    const asked = request({
      createConnection: () => socket,
      method,
      path,
      signal,
      headers: { ...headers, ...about, host, connection: 'close' },
    });
    asked.once('response', resolve);
    asked.on('error', (thrown) => {
      socket.destroy();
      reject(thrown);
    });
    asked.end(body);
  });
}

/** The text of a short answer. */
export async function textOf(answer: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  let size = 0;
  for await (const chunk of answer) {
    size += (chunk as Buffer).length;
    if (size > 64 * 1024) break;
    parts.push(chunk as Buffer);
  }
  return Buffer.concat(parts).toString('utf8');
}

function refusalIn(text: string): ErrorReport | undefined {
  try {
    const { code, message, remedy } = JSON.parse(text) as Partial<Record<string, unknown>>;
    if (typeof code !== 'string' || typeof message !== 'string' || typeof remedy !== 'string') return undefined;
    return { code: code.slice(0, 100), message: message.slice(0, 1000), remedy: remedy.slice(0, 1000) };
  } catch {
    return undefined;
  }
}
