import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Program } from './system-node.ts';

type Rows = Map<string, string[]>;

/** The tools of shadow-utils, as far as kk asks for them, on the account files of a folder. `says`: what each fails with. */
export function fakeAccounts(root: string, says: { stderr?: string; chpasswd?: string }): Record<string, Program> {
  const load = (file: string): Rows => {
    const lines = readFileSync(join(root, 'etc', file), 'utf8').split('\n');
    return new Map(lines.filter((line) => line !== '').map((line) => [line.split(':')[0] ?? '', line.split(':')]));
  };
  const save = (file: string, rows: Rows) =>
    writeFileSync(join(root, 'etc', file), [...rows.values()].map((row) => `${row.join(':')}\n`).join(''));
  /** Options by their letter, and the name at the end. */
  const parsed = (args: string[]) => {
    const options = new Map<string, string>();
    args.forEach((arg, at) => {
      if (/^-\w$/.test(arg)) options.set(arg, args[at + 1] ?? '');
    });
    return { options, name: args.at(-1) ?? '' };
  };
  const editing =
    (
      edit: (name: string, options: Map<string, string>, files: { passwd: Rows; group: Rows; shadow: Rows }) => void,
    ): Program =>
    (args) => {
      if (says.stderr !== undefined) return { stderr: says.stderr };
      const { options, name } = parsed(args);
      const files = { passwd: load('passwd'), group: load('group'), shadow: load('shadow') };
      edit(name, options, files);
      for (const [file, rows] of Object.entries(files)) save(file, rows);
      return {};
    };
  const fields = (row: string[], options: Map<string, string>) => {
    for (const [letter, at] of [
      ['-u', 2],
      ['-g', 3],
      ['-c', 4],
      ['-d', 5],
      ['-s', 6],
    ] as const)
      row[at] = options.get(letter) ?? row[at] ?? '';
  };
  const setGroups = (name: string, wanted: string | undefined, group: Rows) => {
    if (wanted === undefined) return;
    for (const row of group.values()) {
      const others = (row[3] ?? '').split(',').filter((member) => member !== '' && member !== name);
      row[3] = [...others, ...(wanted.split(',').includes(row[0] ?? '') ? [name] : [])].join(',');
    }
  };
  const useradd = editing((name, options, { passwd, group, shadow }) => {
    const row = [name, 'x', '1001', '1001', '', '', '/bin/sh'];
    fields(row, options);
    passwd.set(name, row);
    if (options.has('-U')) group.set(name, [name, 'x', row[3] ?? '', '']);
    shadow.set(name, [name, '!', '20000', '0', '99999', '7', '', '', '']);
    setGroups(name, options.get('-G'), group);
    const home = row[5] ?? '';
    if (!options.has('-m') || existsSync(home)) return;
    mkdirSync(home, { recursive: true });
    cpSync(join(root, 'etc/skel'), home, { recursive: true });
  });
  const chpasswd: Program = (_args, { input = '' }) => {
    if (says.chpasswd !== undefined) return { stderr: says.chpasswd };
    const [name = '', hash = ''] = input.trim().split(':');
    const rows = load('shadow');
    rows.set(name, Object.assign(rows.get(name) ?? [], { 1: hash, 2: '20999' }));
    save('shadow', rows);
    return {};
  };
  return {
    useradd,
    chpasswd,
    usermod: editing((name, options, { passwd, group, shadow }) => {
      fields(passwd.get(name) ?? [], options);
      setGroups(name, options.get('-G'), group);
      const row = shadow.get(name);
      if (row !== undefined) row[1] = options.get('-p') ?? row[1] ?? '';
    }),
    userdel: editing((name, _options, { passwd, group, shadow }) => {
      setGroups(name, '', group);
      if (group.get(name)?.[3] === '') group.delete(name);
      passwd.delete(name);
      shadow.delete(name);
    }),
    chage: editing((name, options, { shadow }) => {
      const row = shadow.get(name) ?? [];
      ['-d', '-m', '-M', '-W', '-I', '-E'].forEach((letter, at) => {
        const value = options.get(letter) ?? '';
        row[at + 2] = value === '-1' ? '' : value;
      });
    }),
    groupadd: editing((name, options, { group }) => group.set(name, [name, 'x', options.get('-g') ?? '1001', ''])),
    groupmod: editing((name, options, { group }) => {
      group.set(name, Object.assign(group.get(name) ?? [], { 2: options.get('-g') }));
    }),
    groupdel: editing((name, _options, { group }) => group.delete(name)),
    gpasswd: editing((name, options, { group }) => {
      group.set(name, Object.assign(group.get(name) ?? [], { 3: options.get('-M') }));
    }),
  };
}
