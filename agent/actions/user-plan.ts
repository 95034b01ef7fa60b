/** What is left to do about an account. Pure. */
import type { ActionInput } from '../../shared/actions/index.ts';
import type { Diff } from '../../shared/share.ts';
import type { GroupEntry } from './account-files.ts';
import type { UserFound } from './accounts.ts';
import { contentDiff } from './content-diff.ts';

type Input = ActionInput<'user'>;

export interface UserSeen {
  present: UserFound | undefined;
  /** The primary group that is stated, or the one of the same name. */
  group: GroupEntry | undefined;
  /** Where homes are made. */
  homes: string;
}

/** Fields of the account as they are to be; undefined: whatever the tools give a new one. */
export interface UserWanted {
  uid: number | undefined;
  gid: number | undefined;
  comment: string | undefined;
  home: string;
  shell: string | undefined;
  groups: string[];
}

export interface UserPlan {
  wanted: UserWanted;
  /** useradd or usermod; undefined: neither is needed. */
  argv: [string, ...string[]] | undefined;
  makesHome: boolean;
  /** useradd makes a group of the same name. */
  makesGroup: boolean;
  /** The hash that is to be set. */
  hash: string | undefined;
  diffs: Diff[];
}

export function planUser(input: Input, { present, group, homes }: UserSeen): UserPlan {
  const groups = [...new Set([...(input.append ? (present?.groups ?? []) : []), ...(input.groups ?? [])])].sort();
  const wanted: UserWanted = {
    uid: input.uid ?? present?.uid,
    gid: input.group === undefined && present !== undefined ? present.gid : group?.gid,
    comment: input.comment ?? present?.comment,
    home: input.home ?? present?.home ?? `${homes}/${input.name}`,
    shell: input.shell ?? present?.shell,
    groups: present !== undefined && input.append && input.groups === undefined ? present.groups : groups,
  };
  const makesHome = present === undefined && (input.create_home ?? !input.system);
  const makesGroup = present === undefined && group === undefined;
  const hash = input.password === undefined || input.password === present?.shadow?.hash ? undefined : input.password;
  const changes = optionsOf(wanted, present);
  const argv: UserPlan['argv'] =
    present === undefined
      ? [
          'useradd',
          ...(input.system ? ['-r'] : []),
          makesHome ? '-m' : '-M',
          ...(makesGroup ? ['-U'] : ['-N']),
          ...changes,
        ]
      : changes.length === 0
        ? undefined
        : ['usermod', ...changes];
  argv?.push('--', input.name);
  const diffs =
    argv === undefined && hash === undefined
      ? []
      : [
          contentDiff(
            `/etc/passwd: ${input.name}`,
            present && linesOf(present, 'as it is'),
            linesOf(wanted, hash === undefined ? 'as it is' : 'another'),
          ),
        ];
  return { wanted, argv, makesHome, makesGroup, hash, diffs };
}

/** Of useradd and usermod alike; those that are so already are left out. */
export function optionsOf(wanted: UserWanted, present: UserFound | undefined): string[] {
  const option = (letter: string, value: string | number | undefined, is: string | number | undefined): string[] =>
    value === undefined || value === is ? [] : [letter, String(value)];
  return [
    ...option('-u', wanted.uid, present?.uid),
    ...option('-g', wanted.gid, present?.gid),
    ...option('-c', wanted.comment, present?.comment),
    ...option('-d', wanted.home, present?.home),
    ...option('-s', wanted.shell, present?.shell),
    ...option('-G', wanted.groups.join(','), present?.groups.join(',') ?? ''),
  ];
}

/** For people; a hash is shown to nobody. */
function linesOf(of: UserWanted | UserFound, password: string): Buffer {
  const { uid, gid, comment, home, shell, groups } = of;
  const lines = Object.entries({ uid, gid, comment, home, shell, groups: groups.join(','), password });
  return Buffer.from(lines.map(([field, value]) => `${field}: ${value ?? 'by default'}\n`).join(''));
}
