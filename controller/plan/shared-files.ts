import type { ActionKind } from '../../shared/actions/index.ts';
import { isTemplate } from '../../shared/expr/index.ts';
import type { Json } from '../../shared/share.ts';

/** Actions whose inputs name files of the role. */
export const TAKES_FILES: ReadonlySet<string> = new Set<ActionKind>(['block_in_file', 'file', 'script', 'systemd']);

/** Their inputs, and the folder of the role that each names a file of. */
export const FILE_INPUTS = { template: 'templates', source: 'files', beside: 'files' } as const;
export type FileInput = keyof typeof FILE_INPUTS;

/** A file that an input names by a literal text; `pointer`: where, in the task. */
export interface NamedFile {
  input: FileInput;
  name: string;
  pointer: string;
}

/** The files that the inputs of a task name literally. */
export function namedFiles(action: string, inputs: Json): NamedFile[] {
  if (!TAKES_FILES.has(action) || typeof inputs !== 'object' || inputs === null || Array.isArray(inputs)) return [];
  return (Object.keys(FILE_INPUTS) as FileInput[]).flatMap((input) => {
    const value = inputs[input];
    const each = Array.isArray(value)
      ? value.map((name, i) => ({ name, pointer: `/inputs/${input}/${i}` }))
      : [{ name: value, pointer: `/inputs/${input}` }];
    return each.flatMap(({ name, pointer }) =>
      typeof name === 'string' && !isTemplate(name) ? [{ input, name, pointer }] : [],
    );
  });
}

/** `kubernetes/init:reset.sh` is the file reset.sh of the role kubernetes/init; undefined: a file of the role's own. */
export function ofOtherRole(name: string): { role: string; path: string } | undefined {
  const [, role, path] = /^([^:]+):(.+)$/.exec(name) ?? [];
  return role === undefined || path === undefined ? undefined : { role, path };
}
