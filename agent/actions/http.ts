import type { IncomingHttpHeaders } from 'node:http';
import type { ActionInput, ActionOutput } from '../../shared/actions/index.ts';
import { KkError } from '../../shared/errors.ts';
import type { Json } from '../../shared/share.ts';
import type { Files } from '../files/files.ts';
import { Away } from '../files/source.ts';
import { askWeb, shown } from '../files/web.ts';
import type { ActionContext } from './executor.ts';
import { matching } from './line-pattern.ts';
import { observing } from './observing.ts';
import { Unknown } from './unknown.ts';
import { questionOf } from './web-question.ts';

type Input = ActionInput<'http'>;

/** Bytes of the answer that are kept, and of its headers. */
const BODY = 64 * 1024;
const HEADERS = 8 * 1024;
/** Bytes of an answer that are read at all. */
const READ = 16 * 1024 * 1024;

async function ask(input: Input, files: Files, context: ActionContext): Promise<ActionOutput<'http'>> {
  if (context.dryRun && input.method !== 'GET' && input.method !== 'HEAD')
    throw new Unknown(`a dry run sends no ${input.method}`);
  const begun = context.host.bootTimeMs();
  const json = input.json === undefined ? {} : { 'content-type': 'application/json' };
  const body = input.body ?? (input.json === undefined ? undefined : JSON.stringify(input.json));
  const question = await questionOf({ ...input, headers: { ...json, ...input.headers } }, files.proxy, context);
  try {
    const asked = { ...question, url: input.url, method: input.method, ...(body === undefined ? {} : { body }) };
    const answer = await askWeb(asked, context.signal);
    const { head, bytes } = await headOf(answer, context.signal);
    const text = head.toString('utf8');
    const value = bytes <= BODY ? jsonIn(text, answer.headers) : undefined;
    return {
      status: answer.statusCode ?? 0,
      headers: boundedHeaders(answer.headers),
      body: text,
      ...(value === undefined ? {} : { json: value }),
      bytes,
      duration_ms: context.host.bootTimeMs() - begun,
    };
  } catch (thrown) {
    if (!(thrown instanceof Away)) throw thrown;
    throw new KkError({
      code: 'HTTP_NO_ANSWER',
      message: `${thrown.message}.`,
      remedy: 'See whether the server runs and can be reached from this node; retries and until ask again.',
    });
  }
}

async function headOf(answer: AsyncIterable<unknown>, signal: AbortSignal): Promise<{ head: Buffer; bytes: number }> {
  const parts: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of answer) {
      signal.throwIfAborted();
      const part = chunk as Buffer;
      if (bytes < BODY) parts.push(part.subarray(0, BODY - bytes));
      bytes += part.length;
      if (bytes > READ) break;
    }
  } catch (thrown) {
    signal.throwIfAborted();
    throw new Away(`the answer broke off after ${bytes} bytes (${(thrown as Error).message})`);
  }
  return { head: Buffer.concat(parts), bytes };
}

function jsonIn(text: string, headers: IncomingHttpHeaders): Json | undefined {
  if (!/^application\/(?:[\w.+-]+\+)?json\b/.test(headers['content-type'] ?? '')) return undefined;
  try {
    return JSON.parse(text) as Json;
  } catch {
    return undefined;
  }
}

function boundedHeaders(headers: IncomingHttpHeaders): Record<string, string> {
  const kept: Record<string, string> = {};
  let size = 0;
  for (const [name, value] of Object.entries(headers)) {
    const text = Array.isArray(value) ? value.join(', ') : (value ?? '');
    size += name.length + text.length;
    if (size <= HEADERS) kept[name] = text;
  }
  return kept;
}

/** Throws HTTP_UNEXPECTED. */
function judge({ url, method, status, match }: Input, answer: ActionOutput<'http'>): ActionOutput<'http'> {
  const isStatus =
    status === undefined ? answer.status >= 200 && answer.status < 300 : [status].flat().includes(answer.status);
  const isMatch = match === undefined || matching(match, [{ text: answer.body, end: '' }]).length > 0;
  if (isStatus && isMatch) return answer;
  const what = isStatus ? `an answer in which ${match} is not found` : String(answer.status);
  throw new KkError({
    code: 'HTTP_UNEXPECTED',
    message: `${method} ${shown(url)} gave ${what}.`,
    remedy: 'See the answer in the evidence, and the log of the server; retries ask again.',
    ...(answer.body === '' ? {} : { evidence: answer.body.slice(0, 1000) }),
  });
}

export const httpExecutor = (files: Files) =>
  observing<'http'>(async (input, context) => judge(input, await ask(input, files, context)));
