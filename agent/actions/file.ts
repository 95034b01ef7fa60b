import type { ActionInput } from '../../shared/actions/index.ts';
import type { Diff } from '../../shared/share.ts';
import { ABSENT } from '../undo/image.ts';
import { wantedAttributes } from './attributes.ts';
import { presentDiff } from './content-diff.ts';
import type { ActionContext, ActionExecutor } from './executor.ts';
import { carryOutFile, type FilePlan, inspectedFile, onlyRegular, planFile } from './regular-file.ts';
import { onPath } from './system-errors.ts';
import { wantedContent } from './wanted-content.ts';

type Plan = FilePlan | { todo: 'remove'; diffs: Diff[] };

async function plan(input: ActionInput<'file'>, context: ActionContext): Promise<Plan> {
  const { path } = input;
  const { files } = context.host;
  const stat = await files.stat(path);
  onlyRegular(path, stat);
  const content = stat === undefined ? undefined : await files.read(path);
  const present = stat === undefined || content === undefined ? undefined : { stat, content };

  if (input.state === 'absent') {
    if (present === undefined) return { todo: 'nothing', output: { path } };
    return { todo: 'remove', diffs: [presentDiff(path, present.stat.mode, present.content, undefined)] };
  }

  const attributes = await wantedAttributes(input, context.host);
  return planFile(path, present, wantedContent(input, context), attributes);
}

export const fileExecutor: ActionExecutor<'file'> = {
  async inspect(input, context) {
    const found = await onPath(input.path, () => plan(input, context));
    return found.todo === 'remove' ? { already: false, diffs: found.diffs } : inspectedFile(found);
  },

  apply: (input, context) =>
    onPath(input.path, async () => {
      const { path } = input;
      const found = await plan(input, context);
      if (found.todo !== 'remove') return carryOutFile(path, found, context);
      await context.remember({ kind: 'file', id: path }, ABSENT);
      await context.host.files.remove(path);
      return { output: { path }, diffs: found.diffs };
    }),
};
