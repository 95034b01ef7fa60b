import type { ActionInput, ActionOutput } from '../../shared/actions/index.ts';
import { bytesOf } from '../../shared/actions/swap.ts';
import type { Diff } from '../../shared/share.ts';
import { contentDiff } from './content-diff.ts';
import type { ActionContext, ActionExecutor } from './executor.ts';
import { FSTAB, withCommented, withEntry } from './fstab.ts';
import { inTurn } from './in-turn.ts';
import { realPlace } from './real-place.ts';
import { carryOutFile, type FilePlan, planFile } from './regular-file.ts';
import { swapStillOn } from './swap-errors.ts';
import { hasSwapFile, makeSwapFile } from './swap-file.ts';
import { type SwapUnit, swapUnits } from './swap-units.ts';
import { type Swap, swapsOf } from './swaps.ts';
import { onPath } from './system-errors.ts';
import { systemctlOf } from './systemd-unit.ts';
import { textFile } from './text-edit.ts';
import { type Line, linesOf, textOf } from './text-lines.ts';

type Input = ActionInput<'swap'>;
type Output = ActionOutput<'swap'>;

/** A swap file that is to be in use. */
interface Wanted {
  path: string;
  size: number;
  priority: number | undefined;
  make: boolean;
  /** It is in use with another priority, which only switching it off and on changes. */
  again: boolean;
}

interface Plan {
  off: Swap[];
  on: Wanted[];
  units: SwapUnit[];
  fstab: FilePlan | undefined;
  output: Output;
  diffs: Diff[];
}

const wantedFile = ({ file = '', size = 0, priority }: Input): Omit<Wanted, 'make' | 'again'> => ({
  path: file,
  size: bytesOf(size),
  priority,
});

const priorityDiff = (path: string, ...[before, after]: (number | undefined)[]): Diff =>
  contentDiff(`/proc/swaps: ${path}`, Buffer.from(`priority: ${before}\n`), Buffer.from(`priority: ${after}\n`));

const SAID = { mask: 'masked', disable: 'disabled' };

/** How fstab is to be: no swap space, or this one. */
function editOf(input: Input): (lines: Line[]) => Line[] {
  if (input.state === 'off') return (lines) => withCommented(lines, ({ type }) => type === 'swap');
  const { path, priority } = wantedFile(input);
  const options = priority === undefined ? 'sw' : `sw,pri=${priority}`;
  const entry = { spec: path, path: 'none', type: 'swap', options, dump: 0, pass: 0 };
  return (lines) => withEntry(lines, entry, ({ spec, type }) => type === 'swap' && spec === path);
}

/** `root`: what /proc and /etc are below. */
export function swapExecutor(root: string): ActionExecutor<'swap'> {
  const fstabPath = `${root}${FSTAB}`;

  async function plan(input: Input, { host }: ActionContext): Promise<Plan> {
    const present = await swapsOf(host, root).list();
    const isOff = input.state === 'off';
    const file = { ...wantedFile(input), path: await realPlace(input.file ?? '/', host.files) };
    const used = isOff ? undefined : present.find(({ path }) => path === file.path);
    const isNew = !isOff && used === undefined;
    const again = used !== undefined && file.priority !== undefined && used.priority !== file.priority;
    const on = isOff ? [] : [{ ...file, again, make: !(await hasSwapFile(file.path, file.size, host)) }];
    const units = isOff ? await swapUnits(host) : [];
    const fstab = await textFile(fstabPath, host);
    const edited = textOf(editOf(input)(linesOf(fstab?.content.toString('utf8') ?? '')));
    const ofFstab =
      fstab === undefined && edited === '' ? undefined : planFile(fstabPath, fstab, Buffer.from(edited), {});
    const before = present.map(({ path }) => path);
    const after = isOff ? [] : [...before, ...(isNew ? [file.path] : [])];
    const lines = (paths: readonly string[]): Buffer => Buffer.from(paths.map((path) => `${path}\n`).join(''));
    return {
      off: isOff ? present : [],
      on: isNew || again ? on : [],
      units,
      fstab: ofFstab,
      output: { swaps: after, units: units.map(({ name }) => name) },
      diffs: [
        ...(before.length === after.length ? [] : [contentDiff(`${root}/proc/swaps`, lines(before), lines(after))]),
        ...(again ? [priorityDiff(file.path, used.priority, file.priority)] : []),
        ...units.map(({ name, verb }) => contentDiff(name, Buffer.from('at boot\n'), Buffer.from(`${SAID[verb]}\n`))),
        ...(ofFstab === undefined || ofFstab.todo === 'nothing' ? [] : ofFstab.diffs),
      ],
    };
  }

  async function carryOut(context: ActionContext, { off, on, units, fstab }: Plan): Promise<void> {
    const { host, signal } = context;
    const swaps = swapsOf(host, root);
    // All of it first: what is switched off makes its unit inactive.
    for (const { path } of off) await context.remember({ kind: 'swap', id: path }, { state: 'off' });
    for (const { name, verb } of units) {
      const mask = verb === 'mask' ? { content: 'symlink to /dev/null' } : {};
      await context.remember({ kind: 'unit', id: name }, { state: 'unit', enabled: false, running: false, ...mask });
    }
    for (const { path } of off) await swaps.off(path, signal);
    for (const { name, verb } of units) await systemctlOf(host).act([verb, '--now', '--', name], name, signal);
    for (const { path, size, priority, make, again } of on) {
      if (make) {
        await context.remember({ kind: 'swap_file', id: path }, { state: 'file' });
        await makeSwapFile(path, size, host, signal);
      }
      await context.remember(
        { kind: 'swap', id: path },
        { state: 'on', ...(priority === undefined ? {} : { priority }) },
      );
      if (again) await swaps.off(path, signal);
      await swaps.on(path, priority, signal);
    }
    if (fstab !== undefined) await carryOutFile(fstabPath, fstab, context);
    const [still] = off.length > 0 ? await swaps.list() : [];
    if (still !== undefined) throw swapStillOn(still.path);
  }

  return {
    async inspect(input, context) {
      const { output, diffs } = await onPath(fstabPath, () => plan(input, context));
      return diffs.length === 0 ? { already: true, output } : { already: false, diffs, foreseen: output };
    },

    apply: (input, context) =>
      onPath(fstabPath, () =>
        inTurn(context.host.files, fstabPath, async () => {
          const planned = await plan(input, context);
          await carryOut(context, planned);
          return { output: planned.output, changed: planned.diffs.length > 0, diffs: planned.diffs };
        }),
      ),
  };
}
