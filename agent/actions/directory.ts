import { dirname, resolve } from 'node:path';
import type { ActionInput, ActionOutput } from '../../shared/actions/index.ts';
import { modeText } from '../../shared/actions/mode.ts';
import { KkError } from '../../shared/errors.ts';
import type { Diff } from '../../shared/share.ts';
import type { FileStat, Host } from '../host/host.ts';
import { ABSENT } from '../undo/image.ts';
import { type Attributes, attributesDiff, differing, wantedAttributes } from './attributes.ts';
import type { ActionContext, ActionExecutor } from './executor.ts';
import { onPath } from './system-errors.ts';

type Input = ActionInput<'directory'>;

/** No plan means to remove these, so a variable that came out empty must not. */
const SYSTEM_ROOTS = new Set(
  [
    '/ /bin /boot /dev /etc /home /lib /lib32 /lib64 /media /mnt /opt /proc /root /run /sbin /srv /sys /tmp /usr /var',
    '/usr/bin /usr/lib /usr/lib64 /usr/libexec /usr/local /usr/local/bin /usr/local/lib /usr/local/sbin /usr/sbin',
    '/usr/share /var/cache /var/lib /var/log /var/run /var/spool /var/tmp /etc/systemd /etc/systemd/system /etc/ssh',
  ]
    .join(' ')
    .split(' '),
);

type Plan =
  | { todo: 'nothing'; output: ActionOutput<'directory'> }
  | { todo: 'remove'; kind: 'directory' | 'tree'; diffs: Diff[] }
  | { todo: 'make'; attributes: Attributes; left: Attributes; mode: number; diffs: Diff[] };

/** A new directory's mode where none is stated. */
const NEW_MODE = 0o755;

/** A symlink to a directory is one for us: people move data folders to other disks that way. */
export async function lookAt(path: string, host: Host): Promise<FileStat | undefined> {
  const present = await host.files.stat(path);
  return present?.kind === 'symlink' ? await host.files.stat(`${path}/.`) : present;
}

function notADirectory(path: string, kind: string): KkError {
  return new KkError({
    code: 'DIRECTORY_IS_OTHER',
    message: `${path} is there, but is not a directory (${kind}).`,
    remedy: 'Remove it with a file task before, or correct the path.',
  });
}

/** Mounts at or below a path, by the kernel's table (octal escapes for blanks, proc(5)). */
async function mountsIn(path: string, host: Host): Promise<string[]> {
  const table = (await host.files.read('/proc/self/mountinfo'))?.toString('utf8') ?? '';
  return table
    .split('\n')
    .map((line) =>
      (line.split(' ')[4] ?? '').replace(/\\([0-7]{3})/g, (_, octal) => String.fromCharCode(Number.parseInt(octal, 8))),
    )
    .filter((mount) => mount === path || mount.startsWith(`${path}/`));
}

/** Parents of a path that are not there, the outermost first. */
async function missingAbove(path: string, { files }: Host): Promise<string[]> {
  const missing: string[] = [];
  for (let at = dirname(resolve(path)); (await files.stat(at)) === undefined; at = dirname(at)) missing.unshift(at);
  return missing;
}

async function planRemoval(input: Input, { host }: ActionContext): Promise<Plan> {
  const path = resolve(input.path);
  const present = await host.files.stat(path);
  if (present === undefined) return { todo: 'nothing', output: { path: input.path } };
  if (present.kind !== 'directory') throw notADirectory(path, present.kind);
  // A parent may be a symlink: what is protected or mounted goes by its real path.
  const real = (await host.files.real(path)) ?? path;
  if (SYSTEM_ROOTS.has(path) || SYSTEM_ROOTS.has(real)) {
    throw new KkError({
      code: 'DIRECTORY_PROTECTED',
      message: `${path} belongs to the system and is never removed.`,
      remedy: 'Name the folder below it that is meant; a variable in the path may have come out empty.',
    });
  }
  const mounts = await mountsIn(real, host);
  if (mounts.length > 0) {
    throw new KkError({
      code: 'DIRECTORY_HAS_MOUNTS',
      message: `${path} is not removed, because something is mounted in it: removing would reach into it.`,
      remedy: 'Unmount it in an earlier task.',
      evidence: mounts.slice(0, 10).join('\n'),
    });
  }
  const entries = await host.files.list(path);
  if (entries.length > 0 && !input.recursive) {
    throw new KkError({
      code: 'DIRECTORY_NOT_EMPTY',
      message: `${path} is not empty (${entries.length} entries).`,
      remedy: 'Add recursive: true to remove what is in it as well.',
      evidence: entries.slice(0, 20).join('\n'),
    });
  }
  const before =
    entries.length === 0
      ? 'empty directory'
      : `directory with ${entries.length} entries: ${entries.slice(0, 20).join(', ')}`;
  return {
    todo: 'remove',
    kind: entries.length === 0 ? 'directory' : 'tree',
    diffs: [{ path, before, after: '', unified: `--- ${path}\n+++ /dev/null\n-[${before}]\n` }],
  };
}

async function plan(input: Input, context: ActionContext): Promise<Plan> {
  if (input.state === 'absent') return planRemoval(input, context);
  const { path } = input;
  const present = await lookAt(path, context.host);
  const attributes = await wantedAttributes(input, context.host);
  if (present === undefined) {
    const mode = attributes.mode ?? NEW_MODE;
    const after = `directory, mode ${modeText(mode)}`;
    const diff = { path, before: '', after, unified: `--- /dev/null\n+++ ${path}\n+[${after}]\n` };
    const all = { ...attributes, mode };
    return { todo: 'make', attributes: all, left: all, mode, diffs: [diff] };
  }
  if (present.kind !== 'directory') throw notADirectory(path, present.kind);
  const change = differing(attributes, present);
  const mode = change.mode ?? present.mode;
  const diff = attributesDiff(path, change, present);
  if (diff === undefined) return { todo: 'nothing', output: { path, mode: modeText(mode) } };
  const { uid, gid } = { ...present, ...change };
  return { todo: 'make', attributes: change, left: { mode, uid, gid }, mode, diffs: [diff] };
}

/** Makes a directory with its attributes; remembers it first, and those above it that are made with it. */
export async function makeFolders(
  path: string,
  attributes: Attributes,
  { host, remember }: ActionContext,
  left = attributes,
): Promise<void> {
  // The outermost first, so that they are undone last.
  for (const parent of await missingAbove(path, host))
    await remember({ kind: 'directory', id: parent }, { state: 'directory' });
  await remember({ kind: 'directory', id: path }, { state: 'directory', ...left });
  await host.files.makeDirectory(path, attributes);
}

export const directoryExecutor: ActionExecutor<'directory'> = {
  async inspect(input, context) {
    const found = await onPath(input.path, () => plan(input, context));
    return found.todo === 'nothing' ? { already: true, output: found.output } : { already: false, diffs: found.diffs };
  },

  apply: (input, context) =>
    onPath(input.path, async () => {
      const { path } = input;
      const { files } = context.host;
      const found = await plan(input, context);
      switch (found.todo) {
        case 'nothing':
          return { output: found.output, changed: false };
        case 'remove':
          await context.remember({ kind: found.kind, id: path }, ABSENT);
          await files.remove(path);
          return { output: { path }, diffs: found.diffs };
        case 'make':
          await makeFolders(path, found.attributes, context, found.left);
          return { output: { path, mode: modeText(found.mode) }, diffs: found.diffs };
      }
    }),
};
