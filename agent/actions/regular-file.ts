/** A regular file that is to have some content and attributes: what is left to do, and doing it. */
import { modeText } from '../../shared/actions/mode.ts';
import { KkError } from '../../shared/errors.ts';
import type { Diff } from '../../shared/share.ts';
import type { FileStat } from '../host/host.ts';
import { type Attributes, attributesDiff, differing } from './attributes.ts';
import { contentDiff, presentDiff, sha256 } from './content-diff.ts';
import type { ActionContext, Applied, Inspected } from './executor.ts';

/** As the actions tell it. */
export interface FileLeft {
  path: string;
  sha256?: string | undefined;
  mode?: string | undefined;
}

/** A file that is there. */
export interface PresentFile {
  stat: FileStat;
  content: Buffer;
  /** Nothing in it is secret, whoever may read it. */
  isOpen?: true;
}

/** What is left to do, found out without touching anything. */
export type FilePlan =
  | { todo: 'nothing'; output: FileLeft }
  | { todo: 'write'; content: Buffer; attributes: Attributes; diffs: Diff[] }
  | { todo: 'set'; change: Attributes; left: Required<Attributes>; sha256: string; mode: number; diffs: Diff[] };

/** Throws FILE_NOT_REGULAR. */
export function onlyRegular(path: string, present: FileStat | undefined): void {
  if (present === undefined || present.kind === 'file') return;
  throw new KkError({
    code: 'FILE_NOT_REGULAR',
    message: `${path} is there, but is a ${present.kind === 'other' ? 'device, pipe or socket' : present.kind} and not a file.`,
    remedy: 'Remove it in an earlier task, or name the path that is meant (of a symlink: its target).',
  });
}

/** `after`: the content that is wanted; undefined: only the attributes are seen to. Pure. */
export function planFile(
  path: string,
  present: PresentFile | undefined,
  after: Buffer | undefined,
  attributes: Attributes,
): FilePlan {
  if (present === undefined) {
    const content = after ?? Buffer.alloc(0);
    return { todo: 'write', content, attributes, diffs: [contentDiff(path, undefined, content)] };
  }
  const { stat, content: before, isOpen } = present;
  const change = differing(attributes, stat);
  const diff = attributesDiff(path, change, stat);
  const diffs = diff === undefined ? [] : [diff];
  if (after !== undefined && !after.equals(before)) {
    const { mode, uid, gid } = stat;
    return {
      todo: 'write',
      content: after,
      attributes: { mode, uid, gid, ...attributes },
      diffs: [isOpen ? contentDiff(path, before, after) : presentDiff(path, mode, before, after), ...diffs],
    };
  }
  const mode = change.mode ?? stat.mode;
  if (diff !== undefined) {
    const { uid, gid } = { ...stat, ...change };
    return { todo: 'set', change, left: { mode, uid, gid }, sha256: sha256(before), mode, diffs };
  }
  return { todo: 'nothing', output: { path, sha256: sha256(before), mode: modeText(mode) } };
}

export function inspectedFile(plan: FilePlan): Inspected<FileLeft> {
  return plan.todo === 'nothing' ? { already: true, output: plan.output } : { already: false, diffs: plan.diffs };
}

/** A new file's mode where none is stated. */
const NEW_MODE = 0o644;

/** Remembers the file, then changes it: content atomically, together with the attributes. */
export async function carryOutFile(path: string, plan: FilePlan, context: ActionContext): Promise<Applied<FileLeft>> {
  const { files } = context.host;
  const resource = { kind: 'file', id: path };
  switch (plan.todo) {
    case 'nothing':
      return { output: plan.output, changed: false };
    case 'set':
      await context.remember(resource, { state: 'file', content: plan.sha256, ...plan.left });
      await files.setAttributes(path, plan.change);
      return { output: { path, sha256: plan.sha256, mode: modeText(plan.mode) }, diffs: plan.diffs };
    case 'write': {
      const mode = plan.attributes.mode ?? NEW_MODE;
      const digest = sha256(plan.content);
      await context.remember(resource, { state: 'file', content: digest, ...plan.attributes, mode });
      await files.writeAtomic(path, plan.content, { ...plan.attributes, mode });
      return { output: { path, sha256: digest, mode: modeText(mode) }, diffs: plan.diffs };
    }
  }
}
