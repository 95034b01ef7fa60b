import { dirname } from 'node:path';
import type { ActionInput, ActionOutput } from '../../shared/actions/index.ts';
import type { Diff } from '../../shared/share.ts';
import { ABSENT, type Image } from '../undo/image.ts';
import { contentDiff } from './content-diff.ts';
import type { ActionContext, ActionExecutor } from './executor.ts';
import { FSTAB, type FstabEntry, withEntry, withoutEntries } from './fstab.ts';
import { inTurn } from './in-turn.ts';
import { notADirectory, otherMounted } from './mount-errors.ts';
import { type Mounted, mountedAt, optionsLacking, placeOf } from './mountinfo.ts';
import { type Mounts, mountsOf } from './mounts.ts';
import { realPlace } from './real-place.ts';
import { carryOutFile, type FilePlan, planFile } from './regular-file.ts';
import { onPath } from './system-errors.ts';
import { textFile } from './text-edit.ts';
import { type Line, linesOf, textOf } from './text-lines.ts';

type Input = ActionInput<'mount'>;
type Doing = 'nothing' | 'mount' | 'remount' | 'unmount';

interface Plan {
  doing: Doing;
  /** Where the kernel has it. */
  place: string;
  found: Mounted | undefined;
  /** Folders that are to be made, the outermost first. */
  folders: string[];
  fstab: FilePlan | undefined;
  output: ActionOutput<'mount'>;
  diffs: Diff[];
}

const isBind = (options: string): boolean => options.split(',').some((one) => one === 'bind' || one === 'rbind');

/** The kernel has names of its own: nfs4 for nfs, and for what a program mounts fuse.<type>, or fuseblk on a device. */
const isType = (wanted: string, found: string): boolean =>
  [wanted, `fuse.${wanted}`, 'fuseblk', ...(wanted === 'nfs' ? ['nfs4'] : [])].includes(found) || wanted === 'auto';

/** As a mount is left: another file system that somebody mounts there later is not kk's. */
const leftBy = ({ source, type, root, device }: Mounted): Image => ({
  state: 'mounted',
  source,
  type,
  inside: root,
  // What lies on no device gets a new number at each mount.
  ...(device.startsWith('0:') ? {} : { device }),
});

/** Is that what is wanted there? Its source may have several names, and a bind mount shows that of what it lies on. */
async function isSame({ src = '', fstype = '', opts }: Input, found: Mounted, mounts: Mounts): Promise<boolean> {
  const source = await mounts.sourceOf(src);
  if (isBind(opts)) {
    const all = (await mounts.list()).filter((one) => one !== found);
    const from = placeOf(all, source);
    return from?.mount.device === found.device && from.inside === found.root;
  }
  return isType(fstype, found.type) && (found.source === src || (await mounts.sourceOf(found.source)) === source);
}

async function doingFor(input: Input, found: Mounted | undefined, mounts: Mounts): Promise<Doing> {
  if (input.state === 'present') return 'nothing';
  if (input.state !== 'mounted') return found === undefined ? 'nothing' : 'unmount';
  if (found === undefined) return 'mount';
  if (!(await isSame(input, found, mounts))) throw otherMounted(input.path, `${found.source} (${found.type})`);
  return optionsLacking(input.opts, found).length > 0 ? 'remount' : 'nothing';
}

/** Above the mount point, and itself. Throws MOUNT_POINT_UNFIT. */
async function missingFolders(path: string, { host }: ActionContext): Promise<string[]> {
  const missing: string[] = [];
  for (let at = path; at !== '/'; at = dirname(at)) {
    const found = await host.files.stat(at);
    if (found?.kind === 'directory' || (found !== undefined && at !== path)) break;
    if (found !== undefined) throw notADirectory(at, found.kind);
    missing.unshift(at);
  }
  return missing;
}

function editOf(input: Input): ((lines: Line[]) => Line[]) | undefined {
  const { path, src: spec = '', fstype: type = '', opts: options, dump, pass, state } = input;
  const isOurs = (entry: FstabEntry): boolean => entry.path === path && entry.type !== 'swap';
  if (state === 'unmounted') return undefined;
  if (state === 'absent') return (lines) => withoutEntries(lines, isOurs);
  return (lines) => withEntry(lines, { spec, path, type, options, dump, pass }, isOurs);
}

/** `root`: what /proc, /dev and /etc are below. */
export function mountExecutor(root: string): ActionExecutor<'mount'> {
  const fstabPath = `${root}${FSTAB}`;

  async function planOfFstab(input: Input, { host }: ActionContext): Promise<FilePlan | undefined> {
    const edit = editOf(input);
    if (edit === undefined) return undefined;
    const present = await textFile(fstabPath, host);
    const after = textOf(edit(linesOf(present?.content.toString('utf8') ?? '')));
    return present === undefined && after === '' ? undefined : planFile(fstabPath, present, Buffer.from(after), {});
  }

  async function plan(input: Input, context: ActionContext): Promise<Plan> {
    const { path, opts } = input;
    const mounts = mountsOf(context.host, root);
    const place = await realPlace(path, context.host.files);
    const found = mountedAt(await mounts.list(), place);
    const doing = await doingFor(input, found, mounts);
    const folders = doing === 'mount' ? await missingFolders(path, context) : [];
    const fstab = await planOfFstab(input, context);
    const line = (of: Mounted | undefined): Buffer =>
      Buffer.from(of === undefined ? '' : `${of.source} ${of.path} ${of.type} ${of.options.join(',')}\n`);
    const after = Buffer.from(doing === 'unmount' ? '' : `${input.src} ${path} ${input.fstype} ${opts}\n`);
    const diffs = [
      ...(doing === 'nothing' ? [] : [contentDiff(`${root}/proc/self/mountinfo`, line(found), after)]),
      ...(fstab === undefined || fstab.todo === 'nothing' ? [] : fstab.diffs),
    ];
    const mounted = doing === 'mount' || (found !== undefined && doing !== 'unmount');
    const source = doing === 'mount' ? input.src : mounted ? found?.source : undefined;
    const output = { path, mounted, ...(source === undefined ? {} : { source }) };
    return { doing, place, found, folders, fstab, output, diffs };
  }

  async function carryOut(input: Input, context: ActionContext, planned: Plan): Promise<Mounted | undefined> {
    const { host, signal } = context;
    const { doing, place, found, folders, fstab } = planned;
    const { src = '', fstype: type = '', opts: options } = input;
    const mounts = mountsOf(host, root);
    const resource = { kind: 'mount', id: place };
    for (const folder of folders) {
      await context.remember({ kind: 'directory', id: folder }, { state: 'directory' });
      await host.files.makeDirectory(folder);
    }
    // Before fstab: what cannot be mounted would keep the machine from booting.
    const left = found === undefined ? { state: 'mounted' } : leftBy(found);
    if (doing !== 'nothing') await context.remember(resource, doing === 'unmount' ? ABSENT : left);
    if (doing === 'mount') await mounts.mount(place, { src, type, options }, signal);
    if (doing === 'remount') await mounts.remount(place, options, signal);
    if (doing === 'unmount') await mounts.unmount(place, signal);
    const now = mountedAt(await mounts.list(), place);
    // One change with the first: which device it is, is known now.
    if (doing === 'mount' && now !== undefined) await context.remember(resource, leftBy(now));
    if (fstab === undefined || fstab.todo === 'nothing') return now;
    await carryOutFile(fstabPath, fstab, context);
    // Its units are made of fstab; where there is no systemd nobody needs to know.
    await host.run(['systemctl', 'daemon-reload'], { signal });
    return now;
  }

  return {
    async inspect(input, context) {
      const { output, diffs } = await onPath(input.path, () => plan(input, context));
      return diffs.length === 0 ? { already: true, output } : { already: false, diffs, foreseen: output };
    },

    apply: (input, context) =>
      onPath(input.path, () =>
        inTurn(context.host.files, fstabPath, async () => {
          const planned = await plan(input, context);
          const now = await carryOut(input, context, planned);
          const output = now === undefined ? planned.output : { ...planned.output, source: now.source };
          return { output, changed: planned.diffs.length > 0, diffs: planned.diffs };
        }),
      ),
  };
}
