import type { ActionKind } from '../../shared/actions/index.ts';
import { isTemplate } from '../../shared/expr/index.ts';
import { type Problems, suggest } from './problems.ts';
import type { RoleRead } from './role.ts';
import type { TaskRead } from './task.ts';
import type { Use } from './uses.ts';

const TAKES_FILES: ReadonlySet<string> = new Set<ActionKind>(['block_in_file', 'file', 'script', 'systemd']);
const KINDS = { template: 'templates', source: 'files' } as const;

/**
 * The role's files that a task names by a literal `template:` or `source:`. A missing one is told; the text of a
 * template is evaluated with the task, so it is checked with it.
 */
export function roleFileUses(found: RoleRead, task: TaskRead, problems: Problems): Use[] {
  const { inputs, action, places, loop } = task.document;
  if (!TAKES_FILES.has(action)) return [];
  if (typeof inputs !== 'object' || inputs === null || Array.isArray(inputs)) return [];
  return Object.entries(KINDS).flatMap(([input, folder]): Use[] => {
    const name = inputs[input];
    if (typeof name !== 'string' || isTemplate(name)) return [];
    const prefix = `${found.role.name}/${folder}/`;
    const text = Object.hasOwn(found.role.files, prefix + name) ? found.role.files[prefix + name] : undefined;
    if (text === undefined) {
      const there = Object.keys(found.role.files).flatMap((path) =>
        path.startsWith(prefix) ? [path.slice(prefix.length)] : [],
      );
      const at = task.texts[`/inputs/${input}`] ?? task.document.at;
      if (input === 'source' && Object.hasOwn(found.shipped, name)) {
        const message = `The source "${name}" is no text of at most 1 MiB.`;
        problems.add('PLAN_MISSING', at, message, 'Use copy, which takes any file: copy: {src: …, dest: …}.');
        return [];
      }
      const where =
        found.folder === undefined
          ? 'only a role has such files: make a role of these tasks'
          : `it would be ${found.folder}/${folder}/${name}`;
      problems.add('PLAN_MISSING', at, `The ${input} "${name}" is not there; ${where}.`, suggest(name, there));
      return [];
    }
    if (input === 'source' || places[`/inputs/${input}`]) return [];
    const origin = { file: `${found.folder}/${folder}/${name}`, line: 1, column: 1 };
    return [{ kind: 'template', text, origin, item: loop !== undefined, after: false }];
  });
}
