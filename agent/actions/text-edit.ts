import { isUtf8 } from 'node:buffer';
import type { ActionInput } from '../../shared/actions/index.ts';
import { KkError } from '../../shared/errors.ts';
import type { Host } from '../host/host.ts';
import { wantedAttributes } from './attributes.ts';
import type { ActionContext, Applied, Inspected } from './executor.ts';
import { inTurn } from './in-turn.ts';
import { carryOutFile, type FileLeft, type FilePlan, inspectedFile, onlyRegular, planFile } from './regular-file.ts';
import { onPath } from './system-errors.ts';
import { type Line, linesOf, textOf } from './text-lines.ts';

/** What is larger is no configuration; it is held in memory several times over. */
const SIZE_LIMIT = 8 * 1024 * 1024;

/** The text file that an action edits; undefined: there is none. Attributes and content are of the very same file. */
export async function textFile(path: string, { files }: Host) {
  const stat = await files.stat(path);
  onlyRegular(path, stat);
  if (stat === undefined) return undefined;
  if (stat.size > SIZE_LIMIT) {
    throw new KkError({
      code: 'FILE_TOO_LARGE',
      message: `${path} has ${stat.size} bytes; text of up to ${SIZE_LIMIT} bytes is edited.`,
      remedy: 'Name the configuration file that is meant, or edit this one with a command task.',
    });
  }
  const found = await files.whole(path);
  if (found === undefined) {
    throw new KkError({
      code: 'FILE_CHANGING',
      message: `${path} was replaced or removed by somebody else while it was read.`,
      remedy: 'Find out what else writes this file, and run again.',
    });
  }
  if (isUtf8(found.content) && !found.content.includes(0)) return found;
  throw new KkError({
    code: 'FILE_NOT_TEXT',
    message: `${path} is no text in UTF-8, so no line of it is edited.`,
    remedy: 'Name the text file that is meant; convert one in another encoding with iconv in an earlier task.',
  });
}

type Input = Pick<ActionInput<'line_in_file'>, 'path' | 'state' | 'create' | 'mode' | 'owner' | 'group'>;

/** An action that edits the lines of one file. `edit` only says how they are to be. */
export function editing<I extends Input>(edit: (lines: Line[], input: I, context: ActionContext) => Line[]) {
  async function plan(input: I, context: ActionContext): Promise<FilePlan> {
    const { path } = input;
    const present = await textFile(path, context.host);
    if (present === undefined && input.state === 'absent') return { todo: 'nothing', output: { path } };
    if (present === undefined && !input.create) {
      throw new KkError({
        code: 'FILE_MISSING',
        message: `There is no ${path}.`,
        remedy: 'Add create: true where it may be made, make it in an earlier task, or correct the path.',
      });
    }
    const attributes = await wantedAttributes(input, context.host);
    const after = edit(linesOf(present?.content.toString('utf8') ?? ''), input, context);
    return planFile(path, present, Buffer.from(textOf(after)), attributes);
  }

  return {
    inspect: (input: I, context: ActionContext): Promise<Inspected<FileLeft>> =>
      onPath(input.path, async () => inspectedFile(await plan(input, context))),

    apply: (input: I, context: ActionContext): Promise<Applied<FileLeft>> =>
      onPath(input.path, () =>
        inTurn(context.host.files, input.path, async () =>
          carryOutFile(input.path, await plan(input, context), context),
        ),
      ),
  };
}
