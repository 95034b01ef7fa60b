/** What of an archive is left to be put in place, and putting it there. */
import { createHash } from 'node:crypto';
import { dirname, join } from 'node:path';
import { KkError } from '../../shared/errors.ts';
import type { Diff } from '../../shared/share.ts';
import { archiveEntries } from '../files/archive.ts';
import { type Listed, rawLimit, type Unpacking } from './archive-listing.ts';
import type { Attributes } from './attributes.ts';
import { lookAt, makeFolders } from './directory.ts';
import type { ActionContext } from './executor.ts';
import { type PlacedPlan, place, planPlaced } from './placed-file.ts';
import { onPath } from './system-errors.ts';
import { replaceLink } from './timezone.ts';

/** Directories that the archive does not name. */
const NEW_FOLDER = 0o755;

export interface UnpackPlan {
  /** Parents first. */
  folders: { path: string; mode: number }[];
  links: { path: string; target: string }[];
  files: { listed: Listed; plan: PlacedPlan }[];
}

/** Touches nothing. Throws UNPACK_IN_THE_WAY, FILE_NOT_REGULAR, and what the system throws. */
export async function planUnpack(
  dest: string,
  listing: readonly Listed[],
  owner: Attributes,
  context: ActionContext,
): Promise<UnpackPlan> {
  const wanted = new Map([[dest, NEW_FOLDER]]);
  for (const { path, kind, mode } of listing) {
    for (let at = dirname(join(dest, path)); at.length > dest.length; at = dirname(at))
      if (!wanted.has(at)) wanted.set(at, NEW_FOLDER);
    if (kind === 'directory') wanted.set(join(dest, path), mode);
  }
  const folders: UnpackPlan['folders'] = [];
  for (const path of [...wanted.keys()].sort()) {
    const isThere = await onPath(path, () => isFolder(path, path === dest, context));
    if (!isThere) folders.push({ path, mode: wanted.get(path) ?? NEW_FOLDER });
  }
  const links: UnpackPlan['links'] = [];
  const files: UnpackPlan['files'] = [];
  for (const listed of listing) {
    context.signal.throwIfAborted();
    const path = join(dest, listed.path);
    if (listed.kind === 'symlink') {
      const isSo = await onPath(path, () => isLink(path, listed.is, context));
      if (!isSo) links.push({ path, target: listed.is });
    } else if (listed.kind === 'file') {
      const { is: sha256, size, mode } = listed;
      const file = { path, sha256, size, attributes: { ...owner, mode }, newMode: mode };
      files.push({ listed, plan: await onPath(path, () => planPlaced(file, context)) });
    }
  }
  return { folders, links, files: files.filter(({ plan }) => plan.todo !== 'nothing') };
}

export function isDone({ folders, links, files }: UnpackPlan): boolean {
  return folders.length + links.length + files.length === 0;
}

/** The destination may be a symlink, as an administrator moves data; what is below may not lead elsewhere. */
async function isFolder(path: string, isDest: boolean, { host }: ActionContext): Promise<boolean> {
  const present = isDest ? await lookAt(path, host) : await host.files.stat(path);
  if (present === undefined) return false;
  if (present.kind === 'directory') return true;
  const leads = present.kind === 'symlink' ? await host.files.real(path) : undefined;
  throw inTheWay(path, present.kind, 'a directory', leads);
}

async function isLink(path: string, target: string, { host }: ActionContext): Promise<boolean> {
  const present = await host.files.stat(path);
  if (present !== undefined && present.kind !== 'symlink') throw inTheWay(path, present.kind, 'a symlink');
  return present !== undefined && (await host.files.readLink(path)) === target;
}

/** `leads`: where a symlink does, which is of use to somebody: /bin on most systems of today. */
function inTheWay(path: string, kind: string, wanted: string, leads?: string): KkError {
  return new KkError({
    code: 'UNPACK_IN_THE_WAY',
    message: `${path} is to be ${wanted} and is there as something else (${kind}).`,
    remedy:
      leads === undefined
        ? 'Remove it in an earlier task, or unpack into another directory.'
        : `Unpack what belongs there in a task of its own, with dest: ${leads} and include and strip; leave it out here.`,
  });
}

/** As many as people look through; of the others only that they are. */
const SHOWN = 50;

/** What would be done, as far as it is told. */
export function unpackDiffs({ folders, links, files }: UnpackPlan): Diff[] {
  const made = (path: string, after: string): Diff => ({
    path,
    before: '',
    after,
    unified: `--- /dev/null\n+++ ${path}\n+[${after}]\n`,
  });
  return few([
    ...folders.map(({ path }) => made(path, 'directory')),
    ...links.map(({ path, target }) => made(path, `symlink to ${target}`)),
    ...files.flatMap(({ plan }) => plan.diffs),
  ]);
}

function few(diffs: Diff[]): Diff[] {
  if (diffs.length <= SHOWN) return diffs;
  const more = `${diffs.length - SHOWN} more`;
  return [...diffs.slice(0, SHOWN), { path: more, before: '', after: '', unified: `--- ${more}\n+++ ${more}\n` }];
}

export interface Unpacked {
  archive: string;
  dest: string;
  unpacking: Unpacking;
  owner: Attributes;
}

/** Each thing is remembered before it is made or replaced. */
export async function unpack(
  plan: UnpackPlan,
  { archive, dest, unpacking, owner }: Unpacked,
  context: ActionContext,
): Promise<void> {
  const { host, remember, signal } = context;
  for (const { path, mode } of plan.folders) await onPath(path, () => makeFolders(path, { ...owner, mode }, context));
  for (const { path, target } of plan.links) {
    const of = { uid: owner.uid ?? 0, gid: owner.gid ?? 0 };
    await onPath(path, async () => {
      // Something else may have come there since it was looked at.
      await isLink(path, target, context);
      await remember({ kind: 'link', id: path }, { state: 'symlink', target, ...of });
      await replaceLink(path, target, host, of);
    });
  }
  const put = async (file: UnpackPlan['files'][number], open: () => AsyncIterable<Uint8Array>): Promise<void> => {
    signal.throwIfAborted();
    await onPath(file.plan.wanted.path, () => place(file.plan, open, context));
  };
  const byPlace = new Map(plan.files.map((file) => [file.listed.at, file]));
  if (plan.files.some(({ plan: { todo }, listed }) => todo === 'write' && listed.same === undefined)) {
    let at = -1;
    for await (const entry of archiveEntries(archive, rawLimit(unpacking))) {
      at += 1;
      const file = byPlace.get(at);
      if (file === undefined || file.listed.same !== undefined) continue;
      await put(file, () => checked(entry.content, file.listed));
      byPlace.delete(at);
    }
  }
  for (const file of byPlace.values())
    await put(file, () => checked(host.files.stream(join(dest, file.listed.same ?? file.listed.path)), file.listed));
}

/** The archive may be exchanged between looking and unpacking: then nothing of it is put in place. */
async function* checked(content: AsyncIterable<Uint8Array>, listed: Listed): AsyncGenerator<Uint8Array> {
  const hash = createHash('sha256');
  let size = 0;
  for await (const chunk of content) {
    size += chunk.length;
    if (size > listed.size) break;
    hash.update(chunk);
    yield chunk;
  }
  if (size === listed.size && hash.digest('hex') === listed.is) return;
  throw new KkError({
    code: 'ARCHIVE_CHANGED',
    message: `${listed.path} came out of the archive as something else than when it was looked at.`,
    remedy: 'Run again once nobody writes to the archive.',
  });
}
