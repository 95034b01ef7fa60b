import type { ActionInput, ActionOutput } from '../../shared/actions/index.ts';
import { sysctlName, sysctlSettings } from '../../shared/actions/sysctl.ts';
import type { Diff } from '../../shared/share.ts';
import { contentDiff } from './content-diff.ts';
import type { ActionContext, ActionExecutor } from './executor.ts';
import { inTurn } from './in-turn.ts';
import { type ProcSys, procSys } from './proc-sys.ts';
import { carryOutFile, type FilePlan, planFile } from './regular-file.ts';
import { unknownKeys } from './sysctl-errors.ts';
import { withoutSysctl, withSysctl } from './sysctl-file.ts';
import { onPath } from './system-errors.ts';
import { textFile } from './text-edit.ts';
import { linesOf, textOf } from './text-lines.ts';

type Input = ActionInput<'sysctl'>;

/** A key of the running kernel. */
interface Live {
  path: string;
  /** undefined: the kernel does not have it, or as good as that. */
  present: string | undefined;
  wanted: string;
}

interface Plan {
  live: Live[];
  file: FilePlan | undefined;
  diffs: Diff[];
}

async function lookAtKernel(input: Input, kernel: ProcSys): Promise<Live[]> {
  if (input.state === 'absent' || !input.reload) return [];
  const live: Live[] = [];
  for (const [path, wanted] of sysctlSettings(input)) {
    const present = await kernel.read(path);
    const isOurs = !input.ignore_missing || present === wanted || (await kernel.mayBeSet(path));
    live.push({ path, wanted, present: isOurs ? present : undefined });
  }
  const missing = live.flatMap(({ path, present }) => (present === undefined ? [path] : []));
  if (missing.length > 0 && !input.ignore_missing) throw unknownKeys(missing);
  return live;
}

async function planOfFile(input: Input, live: readonly Live[], { host }: ActionContext): Promise<FilePlan | undefined> {
  if (!input.persist) return undefined;
  const present = await textFile(input.file, host);
  if (present === undefined && input.state === 'absent') return undefined;
  const missing = new Set(live.flatMap(({ path, present }) => (present === undefined ? [path] : [])));
  let lines = linesOf(present?.content.toString('utf8') ?? '');
  for (const [path, value] of sysctlSettings(input)) {
    lines = input.state === 'absent' ? withoutSysctl(lines, path) : withSysctl(lines, path, value, missing.has(path));
  }
  return planFile(input.file, present, Buffer.from(textOf(lines)), {});
}

const isLeft = ({ present, wanted }: Live): boolean => present !== undefined && present !== wanted;

/** As it is once all is done. */
function outputOf(live: readonly Live[]): ActionOutput<'sysctl'> {
  const there = live.filter(({ present }) => present !== undefined);
  return {
    values: Object.fromEntries(there.map(({ path, wanted }) => [sysctlName(path), wanted])),
    missing: live.flatMap(({ path, present }) => (present === undefined ? [sysctlName(path)] : [])),
  };
}

/** `root`: what /proc/sys is below. */
export function sysctlExecutor(root: string): ActionExecutor<'sysctl'> {
  async function plan(input: Input, context: ActionContext): Promise<Plan> {
    const kernel = procSys(context.host, root);
    const live = await lookAtKernel(input, kernel);
    const file = await planOfFile(input, live, context);
    const diffs = live.filter(isLeft).map(({ path, present, wanted }) => {
      return contentDiff(kernel.fileOf(path), Buffer.from(`${present}\n`), Buffer.from(`${wanted}\n`));
    });
    return { live, file, diffs: [...diffs, ...(file === undefined || file.todo === 'nothing' ? [] : file.diffs)] };
  }

  return {
    async inspect(input, context) {
      const { live, diffs } = await onPath(input.file, () => plan(input, context));
      const output = outputOf(live);
      return diffs.length === 0 ? { already: true, output } : { already: false, diffs, foreseen: output };
    },

    apply: (input, context) =>
      onPath(input.file, () =>
        inTurn(context.host.files, input.file, async () => {
          const kernel = procSys(context.host, root);
          const { live, file, diffs } = await plan(input, context);
          // The kernel first: what it refuses is not to be met again at every boot.
          for (const { path, wanted } of live.filter(isLeft)) {
            await context.remember({ kind: 'sysctl', id: sysctlName(path) }, { state: 'set', value: wanted });
            await kernel.write(path, wanted);
          }
          if (file !== undefined) await carryOutFile(input.file, file, context);
          return { output: outputOf(live), changed: diffs.length > 0, diffs };
        }),
      ),
  };
}
