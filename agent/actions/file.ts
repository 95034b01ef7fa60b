import type { ActionInput, ActionOutput } from '../../shared/actions/index.ts';
import { modeText } from '../../shared/actions/mode.ts';
import { KkError } from '../../shared/errors.ts';
import type { Diff } from '../../shared/share.ts';
import type { FileStat } from '../host/host.ts';
import { ABSENT } from '../undo/image.ts';
import { type Attributes, attributesDiff, differing, wantedAttributes } from './attributes.ts';
import { contentDiff, sha256 } from './content-diff.ts';
import type { ActionContext, ActionExecutor } from './executor.ts';
import { onPath } from './system-errors.ts';
import { wantedContent } from './wanted-content.ts';

type Input = ActionInput<'file'>;

/** What is left to do, found out without touching anything. */
type Plan =
  | { todo: 'nothing'; output: ActionOutput<'file'> }
  | { todo: 'remove'; diffs: Diff[] }
  | { todo: 'write'; content: Buffer; attributes: Attributes; diffs: Diff[] }
  | { todo: 'set'; change: Attributes; left: Required<Attributes>; sha256: string; mode: number; diffs: Diff[] };

function onlyRegular(path: string, present: FileStat | undefined): void {
  if (present === undefined || present.kind === 'file') return;
  throw new KkError({
    code: 'FILE_NOT_REGULAR',
    message: `${path} is there, but is a ${present.kind === 'other' ? 'device, pipe or socket' : present.kind} and not a file.`,
    remedy: 'Remove it in an earlier task, or name the path that is meant (of a symlink: its target).',
  });
}

async function plan(input: Input, context: ActionContext): Promise<Plan> {
  const { path } = input;
  const { files } = context.host;
  const present = await files.stat(path);
  onlyRegular(path, present);
  const before = present === undefined ? undefined : await files.read(path);

  if (input.state === 'absent') {
    if (present === undefined) return { todo: 'nothing', output: { path } };
    return { todo: 'remove', diffs: [contentDiff(path, before, undefined)] };
  }

  const attributes = await wantedAttributes(input, context.host);
  const after = wantedContent(input, context);
  if (present === undefined || before === undefined) {
    const content = after ?? Buffer.alloc(0);
    return { todo: 'write', content, attributes, diffs: [contentDiff(path, undefined, content)] };
  }
  const change = differing(attributes, present);
  const diff = attributesDiff(path, change, present);
  const diffs = diff === undefined ? [] : [diff];
  if (after !== undefined && !after.equals(before)) {
    const { mode, uid, gid } = present;
    return {
      todo: 'write',
      content: after,
      attributes: { mode, uid, gid, ...attributes },
      diffs: [contentDiff(path, before, after), ...diffs],
    };
  }
  const mode = change.mode ?? present.mode;
  if (diff !== undefined) {
    const { uid, gid } = { ...present, ...change };
    return { todo: 'set', change, left: { mode, uid, gid }, sha256: sha256(before), mode, diffs };
  }
  return { todo: 'nothing', output: { path, sha256: sha256(before), mode: modeText(mode) } };
}

/** A new file's mode where none is stated. */
const NEW_MODE = 0o644;

export const fileExecutor: ActionExecutor<'file'> = {
  async inspect(input, context) {
    const found = await onPath(input.path, () => plan(input, context));
    return found.todo === 'nothing' ? { already: true, output: found.output } : { already: false, diffs: found.diffs };
  },

  apply: (input, context) =>
    onPath(input.path, async () => {
      const { path } = input;
      const { files } = context.host;
      const found = await plan(input, context);
      const resource = { kind: 'file', id: path };
      switch (found.todo) {
        case 'nothing':
          return { output: found.output, changed: false };
        case 'remove':
          await context.remember(resource, ABSENT);
          await files.remove(path);
          return { output: { path }, diffs: found.diffs };
        case 'set':
          await context.remember(resource, { state: 'file', content: found.sha256, ...found.left });
          await files.setAttributes(path, found.change);
          return { output: { path, sha256: found.sha256, mode: modeText(found.mode) }, diffs: found.diffs };
        case 'write': {
          const mode = found.attributes.mode ?? NEW_MODE;
          const digest = sha256(found.content);
          await context.remember(resource, { state: 'file', content: digest, ...found.attributes, mode });
          await files.writeAtomic(path, found.content, { ...found.attributes, mode });
          return { output: { path, sha256: digest, mode: modeText(mode) }, diffs: found.diffs };
        }
      }
    }),
};
