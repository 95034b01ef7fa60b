import type { Account } from '../../shared/actions/fields.ts';
import { type Mode, modeBits, modeText } from '../../shared/actions/mode.ts';
import { KkError } from '../../shared/errors.ts';
import type { Diff } from '../../shared/share.ts';
import type { FileStat, Host } from '../host/host.ts';

/** Mode and owner as numbers; absent: not stated, so not touched. */
export interface Attributes {
  mode?: number;
  uid?: number;
  gid?: number;
}

type Wanted = { mode?: Mode | undefined; owner?: Account | undefined; group?: Account | undefined };

async function idOf(
  what: 'user' | 'group',
  name: Account | undefined,
  find: (name: string) => Promise<number | undefined>,
) {
  if (name === undefined) return undefined;
  const id = await find(String(name));
  if (id !== undefined) return id;
  throw new KkError({
    code: what === 'user' ? 'NO_SUCH_USER' : 'NO_SUCH_GROUP',
    message: `There is no ${what} ${name} on this node.`,
    remedy: `Create the ${what} in an earlier task, or name one that exists.`,
  });
}

/** Throws NO_SUCH_USER, NO_SUCH_GROUP. */
export async function wantedAttributes({ mode, owner, group }: Wanted, host: Host): Promise<Attributes> {
  const uid = await idOf('user', owner, host.files.uidOf);
  const gid = await idOf('group', group, host.files.gidOf);
  return {
    ...(mode === undefined ? {} : { mode: modeBits(mode) }),
    ...(uid === undefined ? {} : { uid }),
    ...(gid === undefined ? {} : { gid }),
  };
}

/** The stated attributes of which the file has others. */
export function differing(wanted: Attributes, present: FileStat): Attributes {
  return {
    ...(wanted.mode === undefined || wanted.mode === present.mode ? {} : { mode: wanted.mode }),
    ...(wanted.uid === undefined || wanted.uid === present.uid ? {} : { uid: wanted.uid }),
    ...(wanted.gid === undefined || wanted.gid === present.gid ? {} : { gid: wanted.gid }),
  };
}

/** The change of attributes for people; undefined: there is none. */
export function attributesDiff(path: string, change: Attributes, present: FileStat): Diff | undefined {
  const lines = (of: Attributes): string[] => [
    ...(change.mode === undefined ? [] : [`mode: ${modeText(of.mode ?? 0)}`]),
    ...(change.uid === undefined ? [] : [`owner: ${of.uid}`]),
    ...(change.gid === undefined ? [] : [`group: ${of.gid}`]),
  ];
  const [before, after] = [lines(present), lines(change)];
  if (after.length === 0) return undefined;
  const unified = [
    `--- ${path}`,
    `+++ ${path}`,
    ...before.map((line) => `-${line}`),
    ...after.map((line) => `+${line}`),
  ];
  return { path, before: before.join('\n'), after: after.join('\n'), unified: `${unified.join('\n')}\n` };
}
