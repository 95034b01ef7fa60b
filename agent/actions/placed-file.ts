/** A file that is to be what a digest says, of any size: what is left to do, and doing it. */
import { buffer } from 'node:stream/consumers';
import { modeText } from '../../shared/actions/mode.ts';
import type { Diff } from '../../shared/share.ts';
import type { FileStat, Host } from '../host/host.ts';
import { type Attributes, attributesDiff, differing } from './attributes.ts';
import { contentDiff, describedDiff, presentDiff } from './content-diff.ts';
import type { ActionContext } from './executor.ts';
import { onlyRegular } from './regular-file.ts';

/** Content up to this is shown as it differs; of larger ones the digests. Bytes. */
const SHOWN = 1024 * 1024;

/** What is to be at a path. */
export interface WantedFile {
  path: string;
  sha256: string;
  /** Bytes; undefined: not known. */
  size: number | undefined;
  /** As stated. */
  attributes: Attributes;
  /** Of a file that is made. */
  newMode: number;
  /** The content, where it is at hand and small. */
  content?: Buffer | undefined;
}

export interface PlacedPlan {
  wanted: WantedFile;
  todo: 'nothing' | 'write' | 'set';
  /** What is set with the content, or instead of it. */
  change: Attributes;
  left: Required<Pick<Attributes, 'mode'>> & Attributes;
  diffs: Diff[];
}

/** Looks at the path and touches nothing. Throws FILE_NOT_REGULAR and what the system throws. */
export async function planPlaced(wanted: WantedFile, { host, signal }: ActionContext): Promise<PlacedPlan> {
  const { path, sha256, size, attributes, newMode } = wanted;
  const stat = await host.files.stat(path);
  onlyRegular(path, stat);
  if (stat === undefined) {
    const left = { mode: newMode, ...attributes };
    return { wanted, todo: 'write', change: left, left, diffs: [contentOf(wanted, undefined, undefined)] };
  }
  const change = differing(attributes, stat);
  const more = attributesDiff(path, change, stat);
  const isOfSize = size === undefined || stat.size === size;
  const present = isOfSize ? (await host.files.digest(path, signal))?.sha256 : undefined;
  if (present === sha256) {
    const { mode, uid, gid } = { ...stat, ...change };
    return {
      wanted,
      todo: more === undefined ? 'nothing' : 'set',
      change,
      left: { mode, uid, gid },
      diffs: more === undefined ? [] : [more],
    };
  }
  const { mode, uid, gid } = stat;
  const left = { mode, uid, gid, ...attributes };
  const before = wanted.content === undefined ? undefined : await smallContent(path, stat, host);
  const seen = present === undefined ? `${stat.size} bytes` : `sha256 ${present}`;
  const diffs = [contentOf(wanted, before && { mode, content: before }, seen), ...(more === undefined ? [] : [more])];
  return { wanted, todo: 'write', change: left, left, diffs };
}

function smallContent(path: string, { size }: FileStat, { files }: Host): Promise<Buffer | undefined> {
  return size <= SHOWN ? files.whole(path).then((found) => found?.content) : Promise.resolve(undefined);
}

/** `seen`: what is there, in words; undefined: nothing. */
function contentOf(
  { path, sha256, content }: WantedFile,
  before: { mode: number; content: Buffer } | undefined,
  seen: string | undefined,
): Diff {
  if (content !== undefined && before !== undefined) return presentDiff(path, before.mode, before.content, content);
  if (content !== undefined && seen === undefined) return contentDiff(path, undefined, content);
  return describedDiff(path, seen, `sha256 ${sha256}`);
}

/**
 * Remembers the file, then puts the content in its place, atomically and together with the attributes. `open`: the bytes, which
 * are what the digest says or reject.
 */
export async function place(
  plan: PlacedPlan,
  open: () => AsyncIterable<Uint8Array>,
  { host, remember }: ActionContext,
): Promise<Diff[]> {
  const { wanted, todo, change, left } = plan;
  const { path, sha256 } = wanted;
  if (todo === 'nothing') return [];
  await remember({ kind: 'file', id: path }, { state: 'file', content: sha256, ...left });
  if (todo === 'set') {
    await host.files.setAttributes(path, change);
    return plan.diffs;
  }
  if (wanted.size === undefined || wanted.size > SHOWN) {
    await host.files.writeAtomic(path, open(), left);
    return plan.diffs;
  }
  // Not kept in the plan: there may be one for each of many thousand files.
  const stat = await host.files.stat(path);
  const before = stat === undefined ? undefined : await smallContent(path, stat, host);
  const content = await buffer(open());
  await host.files.writeAtomic(path, content, left);
  if (stat === undefined) return [contentDiff(path, undefined, content), ...plan.diffs.slice(1)];
  return before === undefined ? plan.diffs : [presentDiff(path, stat.mode, before, content), ...plan.diffs.slice(1)];
}

export function placedMode({ left }: PlacedPlan): string {
  return modeText(left.mode);
}
