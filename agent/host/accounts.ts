import { readFile } from 'node:fs/promises';

/** A user of the machine, with what a program run as that user needs. */
export interface Account {
  name: string;
  uid: number;
  gid: number;
  home: string;
  /** What a login starts. */
  shell: string;
  /** Supplementary groups. */
  groups: number[];
}

async function rows(path: string): Promise<string[][]> {
  const text = await readFile(path, 'utf8').catch(() => '');
  return text
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => line.split(':'));
}

/** By name or number, from /etc/passwd and /etc/group; undefined: there is none. */
export async function accountOf(user: string): Promise<Account | undefined> {
  const row = (await rows('/etc/passwd')).find((r) => r[0] === user || r[2] === user);
  if (row?.[0] === undefined) return undefined;
  const [name, , uid, gid, , home, shell] = row;
  const groups = (await rows('/etc/group'))
    .filter((g) => (g[3] ?? '').split(',').includes(name))
    .map((g) => Number(g[2]));
  return { name, uid: Number(uid), gid: Number(gid), home: home || '/', shell: shell || '/bin/sh', groups };
}

/** Whose the terminal of a user's program is, as login has it (ttytype of login.defs); undefined: there is no such user. */
export async function terminalOwnerOf(user: string): Promise<{ uid: number; gid: number } | undefined> {
  const account = await accountOf(user);
  return account && { uid: account.uid, gid: (await gidOf('tty')) ?? account.gid };
}

export async function uidOf(user: string): Promise<number | undefined> {
  if (/^\d+$/.test(user)) return Number(user);
  return (await accountOf(user))?.uid;
}

export async function gidOf(group: string): Promise<number | undefined> {
  if (/^\d+$/.test(group)) return Number(group);
  const row = (await rows('/etc/group')).find((r) => r[0] === group);
  return row === undefined ? undefined : Number(row[2]);
}
