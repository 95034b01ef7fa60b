import type { ActionInput, ActionOutput } from '../../shared/actions/index.ts';
import { isSystemError, KkError } from '../../shared/errors.ts';
import type { Diff } from '../../shared/share.ts';
import type { Host } from '../host/host.ts';
import { contentDiff } from './content-diff.ts';
import type { ActionContext, ActionExecutor } from './executor.ts';
import { withOwnName } from './hosts-file.ts';
import { inTurn } from './in-turn.ts';
import { carryOutFile, type FilePlan, planFile } from './regular-file.ts';
import { onPath } from './system-errors.ts';
import { textFile } from './text-edit.ts';
import { linesOf, textOf } from './text-lines.ts';

type Input = ActionInput<'hostname'>;

interface Plan {
  live: { present: string; differs: boolean };
  files: { path: string; plan: FilePlan }[];
  output: ActionOutput<'hostname'>;
  diffs: Diff[];
}

/** As the kernel has it. systemd's own services watch this file, so no hostnamectl is needed to tell them. */
export function liveName(
  { files }: Host,
  root: string,
): { read(): Promise<string>; write(name: string): Promise<void> } {
  const path = `${root}/proc/sys/kernel/hostname`;
  return {
    read: async () => (await files.read(path))?.toString('utf8').trim() ?? '',
    async write(name) {
      try {
        await files.setKernelValue(path, `${name}\n`);
      } catch (thrown) {
        if (!['EACCES', 'EPERM', 'EROFS'].some((code) => isSystemError(thrown, code))) throw thrown;
        throw new KkError({
          code: 'HOSTNAME_DENIED',
          message: `The machine may not be called ${name} from here.`,
          remedy:
            'Run the agent as root. Of a container set the name on its host (docker run --hostname and the like).',
          evidence: (thrown as Error).message,
          cause: thrown,
        });
      }
    },
  };
}

/** The first line that is no comment holds. */
function staticName(text: string): string {
  return (
    linesOf(text)
      .find((line) => /^\s*[^#\s]/.test(line.text))
      ?.text.trim() ?? ''
  );
}

/** `root`: what /proc and /etc are below. */
export function hostnameExecutor(root: string): ActionExecutor<'hostname'> {
  const namePath = `${root}/etc/hostname`;

  async function planOfName({ name }: Input, host: Host): Promise<{ path: string; plan: FilePlan }> {
    const present = await textFile(namePath, host);
    const same = present !== undefined && staticName(present.content.toString('utf8')) === name;
    return { path: namePath, plan: planFile(namePath, present, same ? undefined : Buffer.from(`${name}\n`), {}) };
  }

  async function planOfHosts(
    { name }: Input,
    { host, node }: ActionContext,
  ): Promise<{ path: string; plan: FilePlan }> {
    const path = `${root}/etc/hosts`;
    const present = await textFile(path, host);
    const lines = linesOf(present?.content.toString('utf8') ?? '');
    return { path, plan: planFile(path, present, Buffer.from(textOf(withOwnName(lines, node.address, name))), {}) };
  }

  /** Images of clouds set the name at each boot, unless they are told to keep it. */
  async function planOfCloud(host: Host): Promise<{ path: string; plan: FilePlan }[]> {
    const folder = `${root}/etc/cloud/cloud.cfg.d`;
    if ((await host.files.stat(folder)) === undefined) return [];
    const path = `${folder}/99-kk-hostname.cfg`;
    return [{ path, plan: planFile(path, await textFile(path, host), Buffer.from('preserve_hostname: true\n'), {}) }];
  }

  async function plan(input: Input, context: ActionContext): Promise<Plan> {
    const { host } = context;
    const { name, hosts } = input;
    const present = await liveName(host, root).read();
    const files = [
      await planOfName(input, host),
      ...(await planOfCloud(host)),
      ...(hosts ? [await planOfHosts(input, context)] : []),
    ];
    const diffs = files.flatMap(({ plan }) => (plan.todo === 'nothing' ? [] : plan.diffs));
    const differs = present !== name;
    if (differs)
      diffs.unshift(
        contentDiff(`${root}/proc/sys/kernel/hostname`, Buffer.from(`${present}\n`), Buffer.from(`${name}\n`)),
      );
    return { live: { present, differs }, files, output: { name, previous: present }, diffs };
  }

  return {
    async inspect(input, context) {
      const { output, diffs } = await onPath(namePath, () => plan(input, context));
      return diffs.length === 0 ? { already: true, output } : { already: false, diffs, foreseen: output };
    },

    apply: (input, context) =>
      onPath(namePath, () =>
        inTurn(context.host.files, `${root}/etc/hosts`, async () => {
          const { live, files, output, diffs } = await plan(input, context);
          // It can be looked up before it is used.
          for (const { path, plan } of files.toReversed()) await carryOutFile(path, plan, context);
          if (live.differs) {
            await context.remember({ kind: 'hostname', id: 'this machine' }, { state: 'set', value: input.name });
            await liveName(context.host, root).write(input.name);
          }
          return { output, changed: diffs.length > 0, diffs };
        }),
      ),
  };
}
