import type { ActionInput, ActionOutput } from '../../shared/actions/index.ts';
import { KkError } from '../../shared/errors.ts';
import type { Diff } from '../../shared/share.ts';
import { contentDiff } from './content-diff.ts';
import type { ActionContext, ActionExecutor } from './executor.ts';
import { inTurn } from './in-turn.ts';
import { carryOutFile, type FilePlan, planFile } from './regular-file.ts';
import { type SelinuxMode, selinuxKernel } from './selinux-kernel.ts';
import { onPath } from './system-errors.ts';
import { textFile } from './text-edit.ts';

type Input = ActionInput<'selinux'>;
type Output = ActionOutput<'selinux'>;

const CONFIG = '/etc/selinux/config';
const LINE = /^[ \t]*SELINUX[ \t]*=[ \t]*(\w+)[ \t]*$/m;

interface Plan {
  /** undefined: there is no SELinux, neither in the kernel nor for the next boot. */
  file: FilePlan | undefined;
  now: SelinuxMode;
  /** What the running kernel is to be set to. */
  set: 'enforcing' | 'permissive' | undefined;
  output: Output;
  diffs: Diff[];
}

/** The text with the wanted mode; of several lines the last one counts, so all are written. Pure. */
export function withMode(text: string, mode: SelinuxMode): string {
  if (!LINE.test(text)) return `${text}${text === '' || text.endsWith('\n') ? '' : '\n'}SELINUX=${mode}\n`;
  return text.replace(new RegExp(LINE.source, 'gm'), (line, present: string) =>
    present === mode ? line : `SELINUX=${mode}`,
  );
}

/** `root`: what /etc and /sys are below. */
export function selinuxExecutor(root: string): ActionExecutor<'selinux'> {
  const path = root + CONFIG;

  async function planOf({ mode }: Input, { host }: ActionContext): Promise<Plan> {
    const now = await selinuxKernel(host, root).mode();
    const present = await textFile(path, host);
    if (present === undefined && now === 'disabled') {
      if (mode !== 'disabled' && mode !== 'permissive') throw noSelinux(mode);
      return { file: undefined, now, set: undefined, output: { reboot: false }, diffs: [] };
    }
    const after = withMode(present?.content.toString('utf8') ?? '', mode);
    const file = planFile(path, present, Buffer.from(after), {});
    const wantedNow = mode === 'disabled' ? 'permissive' : mode;
    const set = now === 'disabled' || now === wantedNow ? undefined : wantedNow;
    const then = set ?? now;
    const diffs = file.todo === 'nothing' ? [] : [...file.diffs];
    const line = (text: string): Buffer => Buffer.from(`${text}\n`);
    if (set !== undefined) diffs.push(contentDiff(`${root}/sys/fs/selinux/enforce`, line(now), line(set)));
    return { file, now, set, output: { now: then, boot: mode, reboot: then !== mode }, diffs };
  }

  return {
    async inspect(input, context) {
      const { output, diffs } = await onPath(path, () => planOf(input, context));
      return diffs.length === 0 ? { already: true, output } : { already: false, diffs, foreseen: output };
    },

    apply: (input, context) =>
      onPath(path, () =>
        inTurn(context.host.files, path, async () => {
          const { file, set, output, diffs } = await planOf(input, context);
          if (file !== undefined) await carryOutFile(path, file, context);
          if (set !== undefined) {
            await context.remember({ kind: 'selinux', id: 'mode' }, { state: 'selinux', mode: set });
            await selinuxKernel(context.host, root).set(set);
          }
          return { output, changed: diffs.length > 0, diffs };
        }),
      ),
  };
}

function noSelinux(mode: SelinuxMode): KkError {
  return new KkError({
    code: 'SELINUX_MISSING',
    message: `This machine has no SELinux that could be ${mode}.`,
    remedy:
      "Install its policy (selinux-policy-targeted) and boot with it, or take the task out for this node (when: facts.selinux != 'disabled').",
  });
}
