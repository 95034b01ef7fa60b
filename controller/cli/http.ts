import type { IncomingMessage } from 'node:http';
import type { Readable } from 'node:stream';
import { type ErrorReport, isSystemError, KkError, KkErrors } from '../../shared/errors.ts';
import { BUILD_HEADER } from '../config/version.ts';

/** Not by an import: that reads every export of the module, and one of them loads all of undici (70 ms of CPU). */
const { request: httpRequest } = process.getBuiltinModule('node:http');

export interface Ask {
  method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  path: string;
  body?: unknown;
  /** Sent as it is read, instead of a body. */
  stream?: Readable;
  signal?: AbortSignal;
}

/** Until the first byte of an answer. Compiling a large plan takes seconds; a controller that is silent longer hangs. */
const ANSWER_MS = 120_000;

/** What the operator API answers, as JSON, and which build answers; empty: one that runs from its sources. */
export interface Answer {
  value: unknown;
  build: string;
}

/** Throws what the API answers as KkError or KkErrors, CONTROLLER_UNREACHABLE. */
export async function ask(socket: string, wish: Ask): Promise<Answer> {
  const answer = await send(socket, wish);
  return { value: JSON.parse(await textOf(answer, socket)), build: buildOf(answer) };
}

/** An answer of one JSON object a line. Ends without an error when `signal` aborts; throws CONTROLLER_LOST when it breaks off. */
export async function* askLines(socket: string, wish: Ask): AsyncGenerator<Answer> {
  let rest = '';
  try {
    const answer = await send(socket, wish);
    const build = buildOf(answer);
    answer.setEncoding('utf8');
    for await (const chunk of answer) {
      const lines = `${rest}${chunk}`.split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) yield { value: checked(JSON.parse(line)), build };
    }
  } catch (thrown) {
    if (wish.signal?.aborted) return;
    throw thrown instanceof KkError || thrown instanceof KkErrors ? thrown : lost(socket, thrown);
  }
}

function buildOf({ headers }: IncomingMessage): string {
  return String(headers[BUILD_HEADER] ?? '');
}

/** The last line of a stream that went wrong. */
function checked(line: unknown): unknown {
  if (typeof line === 'object' && line !== null && 'type' in line && line.type === 'error' && 'error' in line) {
    throw new KkError(line.error as ErrorReport);
  }
  return line;
}

async function send(socket: string, wish: Ask): Promise<IncomingMessage> {
  const answer = await new Promise<IncomingMessage>((resolve, reject) => {
    const body = wish.body === undefined ? undefined : JSON.stringify(wish.body);
    const request = httpRequest({
      socketPath: socket,
      method: wish.method,
      path: wish.path,
      agent: false,
      headers: wish.stream
        ? { 'content-type': 'application/octet-stream' }
        : body === undefined
          ? {}
          : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) },
      ...(wish.signal ? { signal: wish.signal } : {}),
    });
    const silent = setTimeout(() => request.destroy(new Error(`no answer for ${ANSWER_MS / 1000} s`)), ANSWER_MS);
    wish.stream?.on('data', () => silent.refresh());
    request.once('response', resolve);
    request.once('error', (error) => reject(wish.signal?.aborted ? error : unreachable(socket, error)));
    request.once('close', () => clearTimeout(silent));
    request.once('response', () => clearTimeout(silent));
    if (wish.stream === undefined) request.end(body);
    else {
      wish.stream.once('error', (error) => request.destroy(error));
      wish.stream.pipe(request);
    }
  });
  if ((answer.statusCode ?? 500) < 400) return answer;
  const text = await textOf(answer, socket);
  // Not an answer of ours: Fastify's own, while the controller closes.
  if (answer.statusCode === 503 && typeof (parsed(text) as { error?: unknown })?.error === 'string') {
    throw lost(socket, new Error('it is stopping'));
  }
  throw errorOf(text);
}

async function textOf(answer: IncomingMessage, socket: string): Promise<string> {
  try {
    const chunks: Buffer[] = [];
    for await (const chunk of answer) chunks.push(chunk as Buffer);
    return Buffer.concat(chunks).toString('utf8');
  } catch (thrown) {
    throw lost(socket, thrown);
  }
}

function errorOf(text: string): Error {
  const body = parsed(text) as { error?: ErrorReport; problems?: ErrorReport[] } | undefined;
  if (body?.problems) return new KkErrors(body.problems);
  if (body?.error) return new KkError(body.error);
  return new KkError({
    code: 'CONTROLLER_ANSWER',
    message: 'The controller gave an answer that is not understood.',
    remedy: 'Use the same version for both: compare with `kk-controller version`.',
    evidence: text.slice(0, 500),
  });
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

export function unreachable(socket: string, cause: unknown): KkError {
  const denied = isSystemError(cause, 'EACCES') || isSystemError(cause, 'EPERM');
  return new KkError({
    code: 'CONTROLLER_UNREACHABLE',
    message: denied
      ? `The controller's socket ${socket} may not be opened by this user.`
      : `No controller answers on ${socket}.`,
    remedy: denied
      ? 'Run the command as the user who runs the controller (root: with sudo).'
      : 'Start one with `kk-controller serve` (apply does it by itself), or name its state folder with --state.',
    evidence: cause instanceof Error ? cause.message : String(cause),
    cause,
  });
}

export function lost(socket: string, cause: unknown): KkError {
  return new KkError({
    code: 'CONTROLLER_LOST',
    message: `The connection to the controller on ${socket} broke off.`,
    remedy: 'The nodes go on with what they were given. Start the controller again, then `kk-controller logs last -f`.',
    evidence: cause instanceof Error ? cause.message : String(cause),
    cause,
  });
}
