/** Questions to web servers: through a proxy where one is set, redirects followed, nothing secret in what is told. */
import { Agent as HttpAgent, type IncomingHttpHeaders, type IncomingMessage, request as requestHttp } from 'node:http';
import { Agent as HttpsAgent, request as requestHttps } from 'node:https';
import { Readable } from 'node:stream';
import { rootCertificates } from 'node:tls';
import { KkError } from '../../shared/errors.ts';
import { Away, type Opened, type Source } from './source.ts';

/** Variables of the agent's service that say which proxy is asked. */
export type ProxyEnvironment = Partial<Record<'HTTP_PROXY' | 'HTTPS_PROXY' | 'NO_PROXY', string>>;

export interface WebQuestion {
  url: string;
  method: string;
  /** As the task states them, any of which may be a secret: for the server that was meant, and no other. */
  headers: Readonly<Record<string, string>>;
  /** What the question itself is made of: for every server that it leads to. */
  ours?: Readonly<Record<string, string>>;
  body?: string;
  /** Without a byte for so long it is given up. */
  silentMs: number;
  proxy: ProxyEnvironment;
  /** https: PEM of what is trusted besides the public CAs. */
  ca?: Buffer;
  insecure: boolean;
}

/** Redirects that are followed, one after another. */
const MOST_REDIRECTS = 5;

/** An address for people: what is after the path may be a secret. */
export function shown(url: string): string {
  const { origin, pathname, search } = new URL(url);
  return `${origin}${pathname}${search === '' ? '' : '?…'}`;
}

/** The answer, whatever its status; its body is read by whoever asked. Throws {@link Away}, and the signal's reason. */
export async function askWeb(question: WebQuestion, signal: AbortSignal): Promise<IncomingMessage> {
  let { url, headers, method, body } = question;
  for (let redirects = 0; ; redirects += 1) {
    const answer = await askOnce(
      { ...question, url, headers, method, ...(body === undefined ? {} : { body }) },
      signal,
    );
    const { statusCode = 0, headers: told } = answer;
    if (![301, 302, 303, 307, 308].includes(statusCode) || told.location === undefined) return answer;
    const next = nextUrl(told.location, url);
    const isElsewhere = new URL(next).origin !== new URL(url).origin;
    // What is in the body may be a secret, and was meant for the server that was asked: whoever asks is told where it leads.
    if (isElsewhere && statusCode >= 307 && body !== undefined) return answer;
    answer.destroy();
    if (redirects === MOST_REDIRECTS)
      throw new Away(`${shown(question.url)} leads on more than ${MOST_REDIRECTS} times`);
    if (isElsewhere) headers = {};
    // RFC 9110, 15.4: of these, only 307 and 308 ask for the same again.
    if (statusCode < 307 && method !== 'HEAD') [method, body] = ['GET', undefined];
    url = next;
  }
}

function nextUrl(location: string, from: string): string {
  const next = URL.canParse(location, from) ? new URL(location, from) : undefined;
  // What was asked over TLS is not told over the open network.
  const isWorse = from.startsWith('https:') && next?.protocol !== 'https:';
  if (next !== undefined && ['http:', 'https:'].includes(next.protocol) && !isWorse) return next.href;
  throw new Away(`${shown(from)} leads to what is no https address`);
}

function askOnce(question: WebQuestion, signal: AbortSignal): Promise<IncomingMessage> {
  const { url, method, headers, ours, body, silentMs, proxy, ca, insecure } = question;
  const isTls = url.startsWith('https:');
  const trust = { rejectUnauthorized: !insecure, ...(ca === undefined ? {} : { ca: [...rootCertificates, ca] }) };
  const agent = isTls ? new HttpsAgent({ proxyEnv: proxy, ...trust }) : new HttpAgent({ proxyEnv: proxy });
  return new Promise((resolve, reject) => {
    const length = body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) };
    const options = {
      method,
      signal,
      agent,
      headers: { 'user-agent': 'kk-agent', ...headers, ...ours, ...length, connection: 'close' },
    };
    const request = isTls ? requestHttps(url, options) : requestHttp(url, options);
    request.setTimeout(silentMs, () => request.destroy(new Error(`nothing came for ${silentMs / 1000} s`)));
    request.once('response', resolve);
    request.on('error', (thrown) =>
      reject(signal.aborted ? signal.reason : new Away(`${shown(url)} gave ${why(thrown)}`)),
    );
    request.end(body);
  });
}

/** A name with several addresses fails with one error for each of them, and no message of its own. */
function why(thrown: Error): string {
  if (thrown instanceof AggregateError && thrown.errors[0] instanceof Error) return why(thrown.errors[0]);
  const { code } = thrown as NodeJS.ErrnoException;
  return code === undefined ? thrown.message : `${code} (${thrown.message})`;
}

/** What tells one version of a file from another for sure (RFC 9110, 13.1.5); a weak tag does not. */
function validatorOf({ etag, 'last-modified': modified }: IncomingHttpHeaders): string | undefined {
  return etag?.startsWith('"') ? etag : modified;
}

/**
 * A file of a web server's. Refusals are final, silence and its own trouble (5xx, 429) are not. `isKnown`: its digest is, so that parts
 * of two versions would be noticed; else it is only gone on with while the server says that it is the same.
 */
export function fileFromWeb(
  question: Omit<WebQuestion, 'method' | 'body'>,
  { patience, isKnown }: { patience: number; isKnown: boolean },
): Source {
  let validator: string | undefined;
  const rangeFrom = (offset: number): Record<string, string> => {
    if (offset === 0) return {};
    if (validator !== undefined) return { range: `bytes=${offset}-`, 'if-range': validator };
    return isKnown ? { range: `bytes=${offset}-` } : {};
  };
  return {
    name: shown(question.url),
    patience,
    async open(offset, signal): Promise<Opened> {
      // As it is: a coding would make other bytes of it than the digest is of.
      const ours = { 'accept-encoding': 'identity', ...rangeFrom(offset) };
      const answer = await askWeb({ ...question, method: 'GET', ours }, signal);
      const { statusCode = 0, headers: told } = answer;
      const length = told['content-length'] === undefined ? Number.NaN : Number(told['content-length']);
      if (statusCode === 206 || statusCode === 200) {
        validator = validatorOf(told);
        const from = statusCode === 206 ? Number(/^bytes (\d+)-/.exec(told['content-range'] ?? '')?.[1] ?? 0) : 0;
        return { stream: answer, offset: from, total: Number.isFinite(length) ? from + length : undefined };
      }
      answer.destroy();
      // It is all here already, or not this file; the digest tells.
      if (statusCode === 416 && offset > 0) return { stream: Readable.from([]), offset, total: undefined };
      if (statusCode >= 500 || statusCode === 429 || statusCode === 408)
        throw new Away(`${shown(question.url)} answered ${statusCode}`);
      throw new KkError({
        code: 'DOWNLOAD_REFUSED',
        message: `${shown(question.url)} answered ${statusCode}.`,
        remedy:
          statusCode === 404
            ? 'Correct the address: there is no such file there.'
            : 'See what the server wants (a header, a login, another address).',
      });
    },
  };
}
