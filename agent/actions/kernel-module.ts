import type { ActionInput, ActionOutput } from '../../shared/actions/index.ts';
import { moduleName } from '../../shared/actions/kernel-module.ts';
import { KkError } from '../../shared/errors.ts';
import type { Diff } from '../../shared/share.ts';
import type { Host } from '../host/host.ts';
import { ABSENT } from '../undo/image.ts';
import { contentDiff, presentDiff } from './content-diff.ts';
import type { ActionContext, ActionExecutor } from './executor.ts';
import { inTurn } from './in-turn.ts';
import { moduleBuiltIn, moduleFailed, moduleParamsDiffer } from './kernel-module-errors.ts';
import { type KernelModules, kernelModules, type ModuleState } from './kernel-modules.ts';
import { carryOutFile, type FilePlan, planFile } from './regular-file.ts';
import { onPath } from './system-errors.ts';
import { textFile } from './text-edit.ts';

type Input = ActionInput<'kernel_module'>;

/** A file of kk's own; `remove`: it is to be gone. */
type Kept = { path: string; plan: FilePlan | { todo: 'remove'; diffs: Diff[] } };

interface Plan {
  name: string;
  /** It and what it needs, in order. */
  load: string[];
  unload: boolean;
  kept: Kept[];
  output: ActionOutput<'kernel_module'>;
  diffs: Diff[];
}

function paramsOf({ params = {} }: Input): [name: string, value: string][] {
  return Object.entries(params).map(([name, value]) => [
    name,
    value === true ? 'Y' : value === false ? 'N' : `${value}`,
  ]);
}

/** The kernel shows a bool as Y or N and takes it as y, 1 and on, too. */
function isSameValue(present: string, wanted: string): boolean {
  const bool = (text: string): string => (/^(?:y|1|on)$/i.test(text) ? 'Y' : /^(?:n|0|off)$/i.test(text) ? 'N' : text);
  return present === wanted || (/^[YN]$/.test(present) && bool(wanted) === present);
}

/** Whoever runs a container has the modules of its host, and no way to load others. */
const PASSED_OVER: ReadonlySet<string> = new Set(['MODULE_MISSING', 'MODULE_DENIED', 'MODULE_TOOLS_MISSING']);

/** undefined: it is not to be had here, and the task says that this is well. */
async function ifThere<T>({ ignore_missing }: Input, work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch (thrown) {
    if (ignore_missing && thrown instanceof KkError && PASSED_OVER.has(thrown.code)) return undefined;
    throw thrown;
  }
}

async function checkParams(input: Input, name: string, state: ModuleState, modules: KernelModules): Promise<void> {
  const differences: string[] = [];
  for (const [param, wanted] of paramsOf(input)) {
    const present = await modules.parameter(name, param);
    if (present !== undefined && !isSameValue(present, wanted))
      differences.push(`${param} is ${present} and should be ${wanted}`);
  }
  if (differences.length > 0) throw moduleParamsDiffer(name, state === 'built-in', differences);
}

async function planOfKept(path: string, content: string | undefined, host: Host): Promise<Kept[]> {
  const present = await textFile(path, host);
  if (content !== undefined) return [{ path, plan: planFile(path, present, Buffer.from(content), {}) }];
  if (present === undefined) return [];
  return [
    { path, plan: { todo: 'remove', diffs: [presentDiff(path, present.stat.mode, present.content, undefined)] } },
  ];
}

/** `root`: what /proc, /sys, /lib and /etc are below. */
export function kernelModuleExecutor(root: string): ActionExecutor<'kernel_module'> {
  async function keptFor(input: Input, name: string, host: Host): Promise<Kept[]> {
    if (!input.persist) return [];
    const params = paramsOf(input).map(([param, value]) => ` ${param}=${value}`);
    const isPresent = input.state === 'present';
    return [
      ...(await planOfKept(`${root}/etc/modules-load.d/kk-${name}.conf`, isPresent ? `${name}\n` : undefined, host)),
      ...(await planOfKept(
        `${root}/etc/modprobe.d/kk-${name}.conf`,
        params.length > 0 ? `options ${name}${params.join('')}\n` : undefined,
        host,
      )),
    ];
  }

  async function plan(input: Input, { host }: ActionContext): Promise<Plan> {
    const name = moduleName(input.name);
    const modules = kernelModules(host, root);
    const state = await modules.stateOf(name);
    const wanted = input.state === 'present';
    if (!wanted && state === 'built-in') throw moduleBuiltIn(name);
    if (wanted && state !== 'absent') await checkParams(input, name, state, modules);
    const load = wanted && state === 'absent' ? await ifThere(input, () => modules.toLoad(name)) : [];
    if (load === undefined)
      return { name, load: [], unload: false, kept: [], output: { name, state: 'absent' }, diffs: [] };
    const unload = !wanted && state === 'loaded';
    const kept = await keptFor(input, name, host);
    const lines = (names: readonly string[]): Buffer => Buffer.from(names.map((one) => `${one}\n`).join(''));
    const diffs = kept.flatMap(({ plan }) => (plan.todo === 'nothing' ? [] : plan.diffs));
    if (load.length > 0 || unload)
      diffs.unshift(contentDiff(`${root}/proc/modules`, lines(unload ? [name] : []), lines(load)));
    const after = wanted ? (load.length > 0 ? 'loaded' : state) : 'absent';
    return { name, load, unload, kept, output: { name, state: after }, diffs };
  }

  /** false: it was passed over. */
  async function carryOut(input: Input, context: ActionContext, { name, load, unload, kept }: Plan): Promise<boolean> {
    const { host, signal } = context;
    const modules = kernelModules(host, root);
    for (const one of load) await context.remember({ kind: 'module', id: one }, { state: 'loaded' });
    if (load.length > 0) {
      const params = paramsOf(input).map(([param, value]) => `${param}=${value}`);
      const loaded = await ifThere(input, async () => ({ done: await modules.load(name, params, signal) }));
      if (loaded === undefined) return false;
      if ((await modules.stateOf(name)) === 'absent')
        throw moduleFailed(name, 'modprobe ended well, but /proc/modules does not have it');
    }
    if (unload) {
      await context.remember({ kind: 'module', id: name }, ABSENT);
      await modules.unload(name, signal);
    }
    for (const { path, plan } of kept) {
      if (plan.todo !== 'remove') {
        await carryOutFile(path, plan, context);
        continue;
      }
      await context.remember({ kind: 'file', id: path }, ABSENT);
      await host.files.remove(path);
    }
    return true;
  }

  const about = (input: Input): string => `${root}/etc/modules-load.d/kk-${moduleName(input.name)}.conf`;

  return {
    async inspect(input, context) {
      const { output, diffs } = await onPath(about(input), () => plan(input, context));
      return diffs.length === 0 ? { already: true, output } : { already: false, diffs, foreseen: output };
    },

    // In turn: what another step loads meanwhile must not be taken for what this one brought.
    apply: (input, context) =>
      onPath(about(input), () =>
        inTurn(context.host.files, `${root}/proc/modules`, async () => {
          const planned = await plan(input, context);
          if (!(await carryOut(input, context, planned)))
            return { output: { name: planned.name, state: 'absent' }, changed: false };
          return { output: planned.output, changed: planned.diffs.length > 0, diffs: planned.diffs };
        }),
      ),
  };
}
