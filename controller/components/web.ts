/** Questions to web servers about components: redirects followed, silence ended, the rest left to who asks. */

/** It cannot be had now: nobody answers, or the answer broke off. The message says what was seen. */
export class Away extends Error {
  override name = 'Away';
}

/** Redirects that are followed, one after another. */
const MOST_REDIRECTS = 5;
/** Without a byte for so long an answer is given up. */
const SILENT_MS = 30_000;

export interface Answer {
  status: number;
  header(name: string): string | undefined;
  /** Throws {@link Away}, and the signal's reason. */
  body(): AsyncIterable<Uint8Array>;
  /** Whoever does not read it says so. */
  close(): Promise<void>;
}

/** The answer, whatever its status. Throws {@link Away}, and the signal's reason. */
export async function ask(
  url: string,
  signal: AbortSignal,
  { method = 'GET', headers = {} }: { method?: 'GET' | 'HEAD'; headers?: Record<string, string> } = {},
): Promise<Answer> {
  const silence = new Silence();
  // As it is: a coding would make other bytes of it than the digest is of.
  const asking = { method, headers: { 'user-agent': 'kk-controller', 'accept-encoding': 'identity', ...headers } };
  try {
    let at = url;
    for (let redirects = 0; ; redirects += 1) {
      silence.heard();
      const both = AbortSignal.any([signal, silence.signal]);
      const response = await fetch(at, { ...asking, redirect: 'manual', signal: both });
      const location = response.headers.get('location');
      if (![301, 302, 303, 307, 308].includes(response.status) || location === null)
        return answerOf(at === url ? url : withoutQuery(at), response, signal, silence);
      await response.body?.cancel();
      if (redirects === MOST_REDIRECTS) throw new Away(`${url} leads on more than ${MOST_REDIRECTS} times`);
      at = nextUrl(location, at);
    }
  } catch (thrown) {
    silence.end();
    signal.throwIfAborted();
    throw thrown instanceof Away ? thrown : new Away(`${url} gave ${whyOf(thrown)}`);
  }
}

function answerOf(url: string, response: Response, signal: AbortSignal, silence: Silence): Answer {
  return {
    status: response.status,
    header: (name) => response.headers.get(name) ?? undefined,
    async *body() {
      try {
        for await (const chunk of response.body ?? []) {
          silence.heard();
          yield chunk as Uint8Array;
        }
      } catch (thrown) {
        signal.throwIfAborted();
        throw new Away(`${url} gave ${whyOf(thrown)}`);
      } finally {
        silence.end();
      }
    },
    async close() {
      silence.end();
      await response.body?.cancel().catch(() => {});
    },
  };
}

/** The text of a short answer. Throws {@link Away} when there is more than `limit` bytes. */
export async function textOf(answer: Answer, limit: number): Promise<string> {
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of answer.body()) {
    size += chunk.length;
    if (size > limit) throw new Away(`the answer has more than ${limit} bytes`);
    parts.push(chunk);
  }
  return Buffer.concat(parts).toString('utf8');
}

function nextUrl(location: string, from: string): string {
  const next = URL.canParse(location, from) ? new URL(location, from) : undefined;
  // What was asked over TLS is not told over the open network.
  const isWorse = from.startsWith('https:') && next?.protocol !== 'https:';
  if (next !== undefined && ['http:', 'https:'].includes(next.protocol) && !isWorse) return next.href;
  throw new Away(`${withoutQuery(from)} leads to another place that is not taken`);
}

/** Where a redirect leads often carries a signature that lets whoever has it in: it is told nobody. */
function withoutQuery(url: string): string {
  const { origin, pathname } = new URL(url);
  return `${origin}${pathname}`;
}

/** What `fetch` throws says little; what it was thrown for says more. */
function whyOf(thrown: unknown): string {
  if (!(thrown instanceof Error)) return String(thrown);
  if (thrown.name === 'TimeoutError') return `nothing for ${SILENT_MS / 1000} s`;
  const { cause } = thrown;
  if (cause instanceof AggregateError && cause.errors[0] instanceof Error) return textFor(cause.errors[0]);
  return cause instanceof Error ? textFor(cause) : thrown.message;
}

function textFor(error: NodeJS.ErrnoException): string {
  return error.code === undefined || error.message.includes(error.code)
    ? error.message
    : `${error.code} (${error.message})`;
}

/** Ends a question that has not been answered for too long; each byte begins the time anew. */
class Silence {
  readonly #controller = new AbortController();
  #timer: NodeJS.Timeout | undefined;

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  heard(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#controller.abort(new DOMException('silence', 'TimeoutError'));
    }, SILENT_MS);
    this.#timer.unref();
  }

  end(): void {
    clearTimeout(this.#timer);
  }
}
