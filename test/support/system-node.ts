import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Host, RunOptions } from '../../agent/host/host.ts';
import type { ActionKind } from '../../shared/actions/index.ts';
import { realHost } from './real-host.ts';
import { Node } from './undo-node.ts';

/** What a program of the machine does; by default it says nothing, and has ended well where it says nothing on stderr. */
export type Program = (args: string[], options: RunOptions) => { stderr?: string; stdout?: string; code?: number };

/** A node whose /etc and /proc are a folder, and whose programs are functions that work on it. */
export function systemNode(dir: string, programs: (root: string) => Record<string, Program>) {
  const root = join(dir, 'root');
  mkdirSync(root, { recursive: true });
  const calls: string[] = [];
  const known = programs(root);
  const run: Host['run'] = async ([name, ...args], options = {}) => {
    const program = known[name];
    if (program === undefined) return { code: 127, stdout: '', stderr: `${name}: not found` };
    const { stderr = '', stdout = '', code = stderr === '' ? 0 : 1 } = program(args, options);
    if (!/^(show|list-)/.test(args[0] ?? '')) calls.push([name, ...args].join(' ').replaceAll(root, ''));
    return { code, stdout, stderr };
  };
  const node = new Node(dir, { ...realHost(), run });
  let count = 0;
  return {
    root,
    node,
    /** What programs were asked to do since this was asked last; what only shows something is left out. */
    calls: () => calls.splice(0),
    write(path: string, text: string) {
      mkdirSync(dirname(join(root, path)), { recursive: true });
      writeFileSync(join(root, path), text);
    },
    read: (path: string) => readFileSync(join(root, path), 'utf8'),
    do: <K extends ActionKind>(kind: K, input: object) => node.do(`r${++count}`, kind, input, 'x'),
    undo: () => node.undo(`r${count}`, 'x'),
  };
}
