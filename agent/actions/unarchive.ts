import { createHash } from 'node:crypto';
import { posix } from 'node:path';
import { z } from 'zod';
import type { ActionInput, ActionOutput } from '../../shared/actions/index.ts';
import { KkError } from '../../shared/errors.ts';
import type { Files } from '../files/files.ts';
import { Away } from '../files/source.ts';
import { fileFromWeb, shown } from '../files/web.ts';
import { Listed, listArchive } from './archive-listing.ts';
import { type Attributes, wantedAttributes } from './attributes.ts';
import type { ActionContext, ActionExecutor } from './executor.ts';
import { fileInPlan } from './named-in-plan.ts';
import { onPath } from './system-errors.ts';
import { isDone, planUnpack, unpack, unpackDiffs } from './unpack.ts';
import { questionOf } from './web-question.ts';

type Input = ActionInput<'unarchive'>;

const PATIENCE = 4;

/** The archive that is meant: its digest and name, and how to get at its file. */
interface Archive {
  sha256: string;
  name: string;
  /** On the node already, to be looked at without bringing anything. */
  path?: string;
  /** Reads it all, if it came from the cache. Throws BLOB_DAMAGED. */
  verify(): Promise<void>;
  use<T>(work: (path: string) => Promise<T>): Promise<T>;
}

/** Throws SRC_UNKNOWN, COMPONENT_NOT_HERE, ARCHIVE_MISSING. */
async function archiveOf(input: Input, files: Files, context: ActionContext): Promise<Archive> {
  const { signal } = context;
  if (input.path !== undefined) {
    const path = input.path;
    const found = await onPath(path, () => context.host.files.digest(path, signal));
    if (found !== undefined)
      return { sha256: found.sha256, name: path, path, verify: async () => {}, use: (work) => work(path) };
    throw new KkError({
      code: 'ARCHIVE_MISSING',
      message: `There is no file ${path} on this node.`,
      remedy: 'Bring it there in an earlier task (copy, download), or name it as src or url here.',
    });
  }
  const name = input.component ?? input.src;
  if (name !== undefined) {
    const { sha256, size } = fileInPlan(input, context);
    const wanted = { sha256, size, source: files.fromController(sha256), signal };
    return {
      sha256,
      name,
      verify: () => readWhole(files, sha256),
      use: (work) => files.cache.use(wanted, work),
    };
  }
  const url = input.url ?? '';
  const sha256 = input.sha256 ?? '';
  const source = fileFromWeb(
    { ...(await questionOf(input, files.proxy, context)), url },
    { patience: PATIENCE, isKnown: true },
  );
  const wanted = { sha256, size: undefined, source, signal };
  return {
    sha256,
    name: shown(url),
    verify: () => readWhole(files, sha256),
    use: (work) => files.cache.use(wanted, work).catch(noAnswer),
  };
}

async function readWhole({ cache }: Files, sha256: string): Promise<void> {
  for await (const _ of cache.read(sha256));
}

function noAnswer(thrown: unknown): never {
  if (!(thrown instanceof Away)) throw thrown;
  throw new KkError({
    code: 'DOWNLOAD_NO_ANSWER',
    message: `The archive could not be fetched: ${thrown.message}.`,
    remedy: 'See name resolution, network and proxy of this node; what came already is not fetched again.',
  });
}

/** What came out of an archive for a directory: it is not read again while the archive and what is wanted of it are the same. */
const Manifest = z.strictObject({ listing: z.array(Listed) });

const digestOf = (text: string): string => createHash('sha256').update(text).digest('hex');

export function unarchiveExecutor(files: Files, stateFolder: string): ActionExecutor<'unarchive'> {
  const manifestOf = (input: Input, archive: Archive): string =>
    `${stateFolder}/unpacked/${digestOf(`${destOf(input)}\0${keyOf(input, archive)}`)}.json`;

  const known = async (input: Input, archive: Archive, context: ActionContext): Promise<Listed[] | undefined> => {
    try {
      const text = (await context.host.files.read(manifestOf(input, archive)))?.toString('utf8') ?? '';
      return Manifest.parse(JSON.parse(text)).listing;
    } catch {
      // None, or one of another version: the archive tells it anew.
      return undefined;
    }
  };

  return {
    async inspect(input, context) {
      const archive = await archiveOf(input, files, context);
      const owner = await ownerOf(input, context);
      const { path } = archive;
      const listing =
        (await known(input, archive, context)) ??
        (path === undefined ? undefined : await listArchive(path, archive.name, input, context.signal));
      if (listing === undefined) {
        const after = `what is in ${archive.name}`;
        const unified = `--- ${input.dest}\n+++ ${input.dest}\n+[${after}]\n`;
        return { already: false, diffs: [{ path: input.dest, before: '', after, unified }] };
      }
      const found = await planUnpack(destOf(input), listing, owner, context);
      if (isDone(found)) return { already: true, output: outputOf(input, archive, listing) };
      return { already: false, diffs: unpackDiffs(found), foreseen: outputOf(input, archive, listing) };
    },

    async apply(input, context) {
      const archive = await archiveOf(input, files, context);
      const owner = await ownerOf(input, context);
      const dest = destOf(input);
      return archive.use(async (path) => {
        const before = await known(input, archive, context);
        if (before === undefined) await archive.verify();
        const listing = before ?? (await listArchive(path, archive.name, input, context.signal));
        const found = await planUnpack(dest, listing, owner, context);
        // What is known of the archive says nothing of what became of it on the disk since.
        if (before !== undefined && found.files.length > 0) await archive.verify();
        await unpack(found, { archive: path, dest, unpacking: input, owner }, context);
        if (before === undefined) await keep(manifestOf(input, archive), listing, context);
        const output = outputOf(input, archive, listing);
        return { output, changed: !isDone(found), diffs: unpackDiffs(found) };
      });
    },
  };
}

async function keep(path: string, listing: Listed[], { host }: ActionContext): Promise<void> {
  await onPath(path, async () => {
    await host.files.makeDirectory(path.slice(0, path.lastIndexOf('/')), { mode: 0o700 });
    await host.files.writeAtomic(path, Buffer.from(JSON.stringify({ listing })), { mode: 0o600 });
  });
}

function keyOf({ strip, include, setuid }: Input, { sha256 }: Archive): string {
  return digestOf(JSON.stringify([sha256, strip, include ?? null, setuid]));
}

async function ownerOf({ owner, group }: Input, { host }: ActionContext): Promise<Attributes> {
  return wantedAttributes({ owner, group }, host);
}

function destOf({ dest }: Input): string {
  return posix.normalize(dest).replace(/(?<=.)\/$/, '');
}

function outputOf({ dest }: Input, { sha256 }: Archive, listing: readonly Listed[]): ActionOutput<'unarchive'> {
  const files = listing.filter(({ kind }) => kind === 'file');
  return { path: dest, sha256, files: files.length, bytes: files.reduce((sum, { size }) => sum + size, 0) };
}
