import type { ActionInput } from '../../shared/actions/index.ts';
import { KkError } from '../../shared/errors.ts';
import type { Diff } from '../../shared/share.ts';
import { ABSENT } from '../undo/image.ts';
import { accountsOf } from './accounts.ts';
import { presentDiff } from './content-diff.ts';
import type { ActionContext, ActionExecutor } from './executor.ts';
import { carryOutFile, type FilePlan, planFile } from './regular-file.ts';
import { onPath } from './system-errors.ts';
import { textFile } from './text-edit.ts';

type Input = ActionInput<'cron'>;
type Plan = FilePlan | { todo: 'remove'; diffs: Diff[] };

const FOLDER = '/etc/cron.d';

/** Pure: the file of one job (crontab(5)). An unescaped % would end the line, and begin its standard input. */
export function cronText({ name, schedule = '', job = '', user, env = {} }: Input): string {
  const variables = Object.entries(env).map(([key, value]) => `${key}=${JSON.stringify(String(value))}\n`);
  return `# ${name}, by kk\n${variables.join('')}${schedule} ${user} ${job.replaceAll('%', '\\%')}\n`;
}

/** `root`: what /etc is below. */
export function cronExecutor(root: string): ActionExecutor<'cron'> {
  const folder = `${root}${FOLDER}`;
  const pathOf = ({ name }: Input): string => `${folder}/${name}`;

  async function plan(input: Input, { host }: ActionContext): Promise<Plan> {
    const path = pathOf(input);
    const present = await textFile(path, host);
    if (input.state === 'absent') {
      if (present === undefined) return { todo: 'nothing', output: { path } };
      return { todo: 'remove', diffs: [presentDiff(path, present.stat.mode, present.content, undefined)] };
    }
    if ((await host.files.stat(folder)) === undefined) {
      throw new KkError({
        code: 'CRON_MISSING',
        message: `There is no ${FOLDER} on this node, so no cron that would run the job.`,
        remedy: 'Install cron (cronie on Red Hat and SUSE) in an earlier task, or use the action timer.',
      });
    }
    if ((await accountsOf(host, root).user(input.user)) === undefined) {
      throw new KkError({
        code: 'NO_SUCH_USER',
        message: `There is no user ${input.user} on this node.`,
        remedy: 'Create the user in an earlier task, or name one that exists.',
      });
    }
    // cron takes no file that others may write.
    return planFile(path, present, Buffer.from(cronText(input)), { mode: 0o644 });
  }

  return {
    async inspect(input, context) {
      const path = pathOf(input);
      const found = await onPath(path, () => plan(input, context));
      if (found.todo === 'nothing') return { already: true, output: { path } };
      return { already: false, diffs: found.diffs, foreseen: { path } };
    },

    apply(input, context) {
      const path = pathOf(input);
      return onPath(path, async () => {
        const found = await plan(input, context);
        if (found.todo !== 'remove') {
          const { changed = true, diffs = [] } = await carryOutFile(path, found, context);
          return { output: { path }, changed, diffs };
        }
        await context.remember({ kind: 'file', id: path }, ABSENT);
        await context.host.files.remove(path);
        return { output: { path }, diffs: found.diffs };
      });
    },
  };
}
