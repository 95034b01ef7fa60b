import { basename, dirname } from 'node:path';
import type { ActionInput } from '../../shared/actions/index.ts';
import { modeBits } from '../../shared/actions/mode.ts';
import { type BlobRef, blobName, isEmptyDirectory } from '../../shared/blob.ts';
import { KkError } from '../../shared/errors.ts';
import type { Diff } from '../../shared/share.ts';
import type { Files } from '../files/files.ts';
import { wantedAttributes } from './attributes.ts';
import { lookAt, makeFolders } from './directory.ts';
import type { ActionContext, ActionExecutor } from './executor.ts';
import { namedInPlan } from './named-in-plan.ts';
import { type PlacedPlan, place, placedMode, planPlaced } from './placed-file.ts';
import { onPath } from './system-errors.ts';

type Input = ActionInput<'copy'>;

const NEW_EXECUTABLE = 0o755;
const NEW_FILE = 0o644;

interface Plan {
  /** What the whole comes to. */
  path: string;
  /** Directories that are not there, parents first. */
  folders: string[];
  files: (PlacedPlan & { blob: BlobRef })[];
  isDirectory: boolean;
}

async function plan(input: Input, context: ActionContext): Promise<Plan> {
  const source = namedInPlan(input, context);
  const isDirectory = 'directory' in source;
  const name = basename(input.component ?? input.src ?? '');
  const into = input.dest.endsWith('/') && !isDirectory ? `${input.dest}${name}` : input.dest;
  const path = into.length > 1 ? into.replace(/\/+$/, '') : into;
  const attributes = await wantedAttributes(input, context.host);
  const table: [string, BlobRef][] = isDirectory
    ? Object.entries(source.directory).map(([below, blob]) => [`${path}/${below}`, blob])
    : [[path, source.file]];
  const files: Plan['files'] = [];
  for (const [at, blob] of table.filter(([name]) => !isEmptyDirectory(name))) {
    context.signal.throwIfAborted();
    const newMode = blob.executable === true ? NEW_EXECUTABLE : NEW_FILE;
    const content = shippedText(input, at.slice(path.length + 1), context);
    const wanted = { path: at, sha256: blob.sha256, size: blob.size, attributes, newMode, content };
    files.push({ ...(await onPath(at, () => planPlaced(wanted, context))), blob });
  }
  const wantedFolders = isDirectory ? foldersOf(path, table) : input.dest.endsWith('/') ? [dirname(path)] : [];
  const folders: string[] = [];
  for (const folder of wantedFolders)
    if ((await onPath(folder, () => directoryAt(folder, context))) === undefined) folders.push(folder);
  return { path, folders, files, isDirectory };
}

/** Small texts of a role are in the share: a dry run shows how they differ. */
function shippedText({ src = '', component }: Input, below: string, context: ActionContext): Buffer | undefined {
  if (component !== undefined) return undefined;
  const name = [blobName(src), below].filter((part) => part !== '').join('/');
  const text = context.roleFile(`files/${name}`);
  return text === undefined ? undefined : Buffer.from(text);
}

function foldersOf(root: string, table: readonly [string, BlobRef][]): string[] {
  const folders = new Set([root]);
  for (const [path] of table) {
    // The name of an empty directory ends with a slash: cut there it is the directory itself.
    for (let at = path.slice(0, path.lastIndexOf('/')); at.length > root.length; at = dirname(at)) folders.add(at);
  }
  return [...folders].sort();
}

/** Throws DIRECTORY_IS_OTHER. */
async function directoryAt(path: string, { host }: ActionContext): Promise<string | undefined> {
  const present = await lookAt(path, host);
  if (present === undefined || present.kind === 'directory') return present && path;
  throw new KkError({
    code: 'DIRECTORY_IS_OTHER',
    message: `${path} is there, but is not a directory (${present.kind}).`,
    remedy: 'Remove it in an earlier task, or correct dest.',
  });
}

async function outputOf({ path, files, isDirectory }: Plan, { host }: ActionContext) {
  const [first] = files;
  let bytes = 0;
  // What the plan could not know is on the disk by now; before that it is 0.
  for (const { blob, wanted } of files) bytes += blob.size ?? (await host.files.stat(wanted.path))?.size ?? 0;
  const single = isDirectory || first === undefined ? {} : { sha256: first.blob.sha256, mode: placedMode(first) };
  return { path, ...single, files: files.length, bytes };
}

function folderDiff(path: string): Diff {
  return { path, before: '', after: 'directory', unified: `--- /dev/null\n+++ ${path}\n+[directory]\n` };
}

/** Files of the plan, put on the node; each is brought when it is needed, and not twice. */
export function copyExecutor(files: Files): ActionExecutor<'copy'> {
  return {
    async inspect(input, context) {
      const found = await plan(input, context);
      const todo = found.files.filter((file) => file.todo !== 'nothing');
      if (todo.length === 0 && found.folders.length === 0)
        return { already: true, output: await outputOf(found, context) };
      const diffs = [...found.folders.map(folderDiff), ...todo.flatMap((file) => file.diffs)];
      return { already: false, diffs, foreseen: await outputOf(found, context) };
    },

    async apply(input, context) {
      const found = await plan(input, context);
      const mode = input.directory_mode === undefined ? {} : { mode: modeBits(input.directory_mode) };
      const { mode: _fileMode, ...owner } = await wantedAttributes(input, context.host);
      const diffs = found.folders.map(folderDiff);
      for (const folder of found.folders)
        await onPath(folder, () => makeFolders(folder, { ...mode, ...owner }, context));
      let changed = found.folders.length > 0;
      for (const file of found.files) {
        const { sha256, size } = file.blob;
        context.signal.throwIfAborted();
        if (file.todo === 'nothing') continue;
        changed = true;
        const put = () => onPath(file.wanted.path, () => place(file, () => files.cache.read(sha256), context));
        const source = files.fromController(sha256);
        const wanted = { sha256, size, source, signal: context.signal };
        diffs.push(...(file.todo === 'set' ? await put() : await files.cache.use(wanted, put)));
      }
      return { output: await outputOf(found, context), changed, diffs };
    },
  };
}
