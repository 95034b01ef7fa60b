/** The lines of passwd(5), group(5) and shadow(5). Pure. */

export interface PasswdEntry {
  name: string;
  uid: number;
  gid: number;
  comment: string;
  home: string;
  shell: string;
}

export interface GroupEntry {
  name: string;
  gid: number;
  members: string[];
}

export interface ShadowEntry {
  name: string;
  hash: string;
  /** Days: last change, least and greatest age, warning, inactive, expiry; empty: none. As written, between colons. */
  aging: string;
}

/** Fields of each line; what is of NIS (`+@…`) is no account. */
function rows(text: string): string[][] {
  return text
    .split('\n')
    .filter((line) => /^[^#+\-\s:][^:]*:/.test(line))
    .map((line) => line.split(':'));
}

export function passwdEntries(text: string): PasswdEntry[] {
  return rows(text).map(([name = '', , uid, gid, comment = '', home = '', shell = '']) => {
    return { name, uid: Number(uid), gid: Number(gid), comment, home, shell };
  });
}

export function groupEntries(text: string): GroupEntry[] {
  return rows(text).map(([name = '', , gid, members = '']) => {
    return { name, gid: Number(gid), members: members.split(',').filter((member) => member !== '') };
  });
}

export function shadowEntries(text: string): ShadowEntry[] {
  return rows(text).map(([name = '', hash = '', ...aging]) => ({ name, hash, aging: aging.slice(0, 6).join(':') }));
}
