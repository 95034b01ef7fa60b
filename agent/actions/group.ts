import type { ActionInput, ActionOutput } from '../../shared/actions/index.ts';
import type { Diff } from '../../shared/share.ts';
import { ABSENT } from '../undo/image.ts';
import type { GroupEntry } from './account-files.ts';
import { accountsOf } from './accounts.ts';
import { contentDiff } from './content-diff.ts';
import type { ActionContext, ActionExecutor } from './executor.ts';
import { inTurn } from './in-turn.ts';

type Input = ActionInput<'group'>;

interface Plan {
  present: GroupEntry | undefined;
  argv: [string, ...string[]] | undefined;
  output: ActionOutput<'group'>;
  diffs: Diff[];
}

/** What is left to do; undefined: nothing. Pure. */
function toolFor(
  { name, gid, system, state }: Input,
  present: GroupEntry | undefined,
): [string, ...string[]] | undefined {
  if (state === 'absent') return present === undefined ? undefined : ['groupdel', name];
  const number = gid === undefined ? [] : ['-g', String(gid)];
  if (present === undefined) return ['groupadd', ...(system ? ['-r'] : []), ...number, name];
  return gid === undefined || present.gid === gid ? undefined : ['groupmod', ...number, name];
}

const lineOf = (name: string, gid: number | undefined): Buffer =>
  Buffer.from(`${name}: gid ${gid ?? 'the next free one'}\n`);

/** `root`: what /etc is below. */
export function groupExecutor(root: string): ActionExecutor<'group'> {
  async function plan(input: Input, { host }: ActionContext): Promise<Plan> {
    const present = await accountsOf(host, root).group(input.name);
    const argv = toolFor(input, present);
    const before = present && lineOf(input.name, present.gid);
    const after = input.state === 'absent' ? undefined : lineOf(input.name, input.gid ?? present?.gid);
    const diffs = argv === undefined ? [] : [contentDiff(`${root}/etc/group`, before, after)];
    const gid = input.state === 'absent' ? undefined : (input.gid ?? present?.gid);
    return { present, argv, output: { name: input.name, ...(gid === undefined ? {} : { gid }) }, diffs };
  }

  return {
    async inspect(input, context) {
      const { argv, output, diffs } = await plan(input, context);
      return argv === undefined ? { already: true, output } : { already: false, diffs, foreseen: output };
    },

    // In turn with users: both write the same files.
    apply: (input, context) =>
      inTurn(context.host.files, `${root}/etc/passwd`, async () => {
        const { argv, output, diffs } = await plan(input, context);
        if (argv === undefined) return { output, changed: false };
        const { name, state, gid } = input;
        const left = { state: 'group', ...(gid === undefined ? {} : { gid }) };
        await context.remember({ kind: 'group', id: name }, state === 'absent' ? ABSENT : left);
        const accounts = accountsOf(context.host, root);
        await accounts.run(name, argv, context.signal);
        const made = await accounts.group(name);
        return { output: made === undefined ? output : { name, gid: made.gid }, diffs };
      }),
  };
}
