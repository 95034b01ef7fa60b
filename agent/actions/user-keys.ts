import type { ActionInput } from '../../shared/actions/index.ts';
import type { Host } from '../host/host.ts';
import { homeNotSafe } from './account-errors.ts';
import { withKeys } from './authorized-keys.ts';
import type { ActionContext } from './executor.ts';
import { carryOutFile, type FilePlan, planFile } from './regular-file.ts';
import { textFile } from './text-edit.ts';
import { linesOf, textOf } from './text-lines.ts';

/** The account whose keys they are; undefined numbers: it is not made yet. */
interface Owner {
  home: string;
  uid: number | undefined;
  gid: number | undefined;
}

const folderOf = ({ home }: Owner): string => `${home}/.ssh`;
export const keysPath = (owner: Owner): string => `${folderOf(owner)}/authorized_keys`;

/** What root writes there must not end up elsewhere: the account may put symlinks into its own home. Throws HOME_NOT_SAFE. */
async function checkFolders(owner: Owner, { files }: Host): Promise<void> {
  const home = await files.stat(owner.home);
  if (home === undefined) throw homeNotSafe(owner.home, 'is not there');
  if (home.kind !== 'directory' && !(home.kind === 'symlink' && home.uid === 0))
    throw homeNotSafe(owner.home, `is a ${home.kind}`);
  const folder = await files.stat(folderOf(owner));
  if (folder === undefined) return;
  if (folder.kind !== 'directory') throw homeNotSafe(folderOf(owner), `is a ${folder.kind}`);
  if (folder.uid !== 0 && folder.uid !== owner.uid) throw homeNotSafe(folderOf(owner), `belongs to user ${folder.uid}`);
}

/** undefined: no keys are stated. A home that is about to be made holds none. Throws HOME_NOT_SAFE. */
export async function planKeys(input: ActionInput<'user'>, owner: Owner, host: Host): Promise<FilePlan | undefined> {
  if (input.authorized_keys === undefined) return undefined;
  const { uid, gid } = owner;
  const isNew = uid === undefined || gid === undefined;
  if (!isNew) await checkFolders(owner, host);
  const path = keysPath(owner);
  const present = isNew ? undefined : await textFile(path, host);
  const lines = linesOf(present?.content.toString('utf8') ?? '');
  const after = Buffer.from(textOf(withKeys(lines, input.authorized_keys, input.keys_exact)));
  if (present === undefined && after.length === 0) return undefined;
  // Public keys: who may log in is to be seen.
  const open = present === undefined ? undefined : { ...present, isOpen: true as const };
  return planFile(path, open, after, { mode: 0o600, ...(isNew ? {} : { uid, gid }) });
}

export async function writeKeys(plan: FilePlan | undefined, owner: Owner, context: ActionContext): Promise<void> {
  if (plan === undefined || plan.todo === 'nothing') return;
  const { uid = 0, gid = 0 } = owner;
  const folder = folderOf(owner);
  if ((await context.host.files.stat(folder)) === undefined) {
    const attributes = { mode: 0o700, uid, gid };
    await context.remember({ kind: 'directory', id: folder }, { state: 'directory', ...attributes });
    await context.host.files.makeDirectory(folder, attributes);
  }
  await carryOutFile(keysPath(owner), plan, context);
}
