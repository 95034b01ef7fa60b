import { basename } from 'node:path';
import type { ActionInput } from '../../shared/actions/index.ts';
import { sha256In } from '../../shared/checksums.ts';
import { type ErrorReport, KkError, reportOf } from '../../shared/errors.ts';
import type { Files } from '../files/files.ts';
import { Away, type Source } from '../files/source.ts';
import { askWeb, fileFromWeb, shown } from '../files/web.ts';
import { wantedAttributes } from './attributes.ts';
import type { ActionContext, ActionExecutor } from './executor.ts';
import { type PlacedPlan, place, placedMode, planPlaced } from './placed-file.ts';
import { onPath } from './system-errors.ts';
import { textWithin } from './text-within.ts';
import { questionOf } from './web-question.ts';

type Input = ActionInput<'download'>;

const NEW_FILE = 0o644;
/** How often a server is asked again without a byte having come, where another one may have the file, and where none has. */
const PATIENCE = { one: 4, several: 1 };
/** Bytes of a list of digests. */
const CHECKSUMS = 1024 * 1024;

function mirrorsOf({ url }: Input): [string, ...string[]] {
  return [url].flat() as [string, ...string[]];
}

/** The digest that the file must have; undefined: nobody knows. Throws CHECKSUM_UNKNOWN. */
async function digestOf(input: Input, files: Files, context: ActionContext): Promise<string | undefined> {
  if (input.checksum_url === undefined) return input.sha256 === 'none' ? undefined : input.sha256;
  const question = await questionOf(input, files.proxy, context);
  const name = decodeURIComponent(basename(new URL(mirrorsOf(input)[0]).pathname));
  let text = '';
  let seen = '';
  try {
    const answer = await askWeb({ ...question, url: input.checksum_url, method: 'GET' }, context.signal);
    seen = `answered ${answer.statusCode}`;
    if (answer.statusCode === 200) text = await textWithin(answer, CHECKSUMS);
    else answer.destroy();
  } catch (thrown) {
    if (!(thrown instanceof Away)) throw thrown;
    seen = thrown.message;
  }
  const found = sha256In(text, name);
  if (found !== undefined) return found;
  throw new KkError({
    code: 'CHECKSUM_UNKNOWN',
    message: `${shown(input.checksum_url)} tells no sha256 of ${name} (${seen}).`,
    remedy: 'Correct checksum_url, or state the sha256 in the plan.',
  });
}

/** What is there already says nothing about where it comes from, so without a digest it is taken as it is. */
async function plan(
  input: Input,
  sha256: string | undefined,
  context: ActionContext,
  size?: number,
): Promise<PlacedPlan | undefined> {
  const path = input.dest;
  const attributes = await wantedAttributes(input, context.host);
  const digest = sha256 ?? (await context.host.files.digest(path, context.signal))?.sha256;
  if (digest === undefined) return undefined;
  return planPlaced({ path, sha256: digest, size, attributes, newMode: NEW_FILE }, context);
}

async function sizeAt(path: string, { host }: ActionContext): Promise<number> {
  return (await host.files.stat(path))?.size ?? 0;
}

function lastOf(reports: readonly ErrorReport[]): KkError {
  const [only] = reports;
  if (reports.length === 1 && only !== undefined) return new KkError(only);
  return new KkError({
    code: 'DOWNLOAD_FAILED',
    message: `None of the ${reports.length} addresses gave the file.`,
    remedy: 'The evidence says why not; correct the addresses, or see the network and proxy of this node.',
    evidence: reports.map(({ code, message }) => `${code}: ${message}`).join('\n'),
  });
}

/** Tries one after another; an address that gives something else, or nothing, is followed by the next. */
async function fromFirst<T>(sources: readonly Source[], signal: AbortSignal, use: (source: Source) => Promise<T>) {
  const failed: ErrorReport[] = [];
  for (const source of sources) {
    try {
      return await use(source);
    } catch (thrown) {
      signal.throwIfAborted();
      if (thrown instanceof Away) failed.push(noAnswer(source, thrown));
      else if (thrown instanceof KkError && /^(BLOB_WRONG|DOWNLOAD_)/.test(thrown.code)) failed.push(reportOf(thrown));
      else throw thrown;
    }
  }
  throw lastOf(failed);
}

function noAnswer(source: Source, { message }: Away): ErrorReport {
  return {
    code: 'DOWNLOAD_NO_ANSWER',
    message: `${source.name} did not give the file: ${message}.`,
    remedy: 'See name resolution, network and proxy of this node; what came already is not fetched again.',
  };
}

export function downloadExecutor(files: Files): ActionExecutor<'download'> {
  return {
    inspect: (input, context) =>
      onPath(input.dest, async () => {
        const sha256 = await digestOf(input, files, context);
        const found = await plan(input, sha256, context);
        if (found === undefined) {
          const after = `a file from ${shown(mirrorsOf(input)[0])}`;
          const unified = `--- /dev/null\n+++ ${input.dest}\n+[${after}]\n`;
          return { already: false, diffs: [{ path: input.dest, before: '', after, unified }] };
        }
        if (found.todo !== 'nothing') return { already: false, diffs: found.diffs };
        const bytes = await sizeAt(input.dest, context);
        return {
          already: true,
          output: { path: input.dest, sha256: found.wanted.sha256, mode: placedMode(found), bytes },
        };
      }),

    apply: (input, context) =>
      onPath(input.dest, async () => {
        const { signal } = context;
        const mirrors = mirrorsOf(input);
        const question = await questionOf(input, files.proxy, context);
        const patience = mirrors.length === 1 ? PATIENCE.one : PATIENCE.several;
        const digest = await digestOf(input, files, context);
        const isKnown = digest !== undefined;
        const sources = mirrors.map((url) => fileFromWeb({ ...question, url }, { patience, isKnown }));
        const before = await plan(input, digest, context);
        if (before !== undefined && before.todo !== 'write') {
          const diffs = await place(before, () => files.cache.read(before.wanted.sha256), context);
          const output = { path: input.dest, sha256: before.wanted.sha256, mode: placedMode(before) };
          return {
            output: { ...output, bytes: await sizeAt(input.dest, context) },
            changed: before.todo === 'set',
            diffs,
          };
        }
        return fromFirst(sources, signal, async (source) => {
          const sha256 = digest ?? (await files.cache.keep({ source, signal }));
          return files.cache.use({ sha256, size: undefined, source, signal }, async (cached) => {
            const bytes = await sizeAt(cached, context);
            const found = (await plan(input, sha256, context, bytes)) as PlacedPlan;
            const diffs = await place(found, () => files.cache.read(sha256), context);
            const output = { path: input.dest, sha256, mode: placedMode(found) };
            return { output: { ...output, bytes }, diffs };
          });
        });
      }),
  };
}
