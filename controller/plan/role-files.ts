import type { Position } from '../../shared/errors.ts';

import type { Library } from './library.ts';
import { isRoleName, roleFolders } from './paths.ts';
import { type Problems, suggest } from './problems.ts';
import type { RoleRead } from './role.ts';
import { FILE_INPUTS, type NamedFile, namedFiles, ofOtherRole } from './shared-files.ts';
import type { TaskRead } from './task.ts';
import type { Use } from './uses.ts';

/** A file of another role, as the one that takes it knows it. */
export interface Borrowed {
  /** Where it lies, or would. */
  path: string;
  /** What may be taken of that role, spelled as a task spells it. */
  there: string[];
  /** It is there, but no text. */
  isBlob: boolean;
}

/**
 * Puts the files that tasks take of other roles (`kubernetes/init:reset.sh`) among the role's own, by that name: all that
 * follows, the agent too, knows of one role alone. The others are looked for as those of the play are, from its playbook.
 */
export function borrowFiles(found: RoleRead, playbook: string, library: Library): void {
  const { sources, problems } = library;
  const offered = sources.offered?.roles ?? [];
  for (const task of found.tasks.flatMap((task) => [task, ...task.recover, ...task.rollback])) {
    for (const named of namedFiles(task.document.action, task.document.inputs)) {
      const key = keyOf(found, named);
      const other = Object.hasOwn(found.role.files, key) ? undefined : ofOtherRole(named.name);
      if (!other) continue;
      const folders = roleFolders(other.role, playbook, sources.playbookPath ?? []);
      const folder = folders.find((candidate) => isRoleName(other.role) && library.has(`${candidate}/tasks.yaml`));
      if (folder === undefined) {
        const remedy = `${suggest(other.role, offered)} Looked for tasks.yaml in: ${folders.join(', ')}.`;
        problems.add('PLAN_UNKNOWN_ROLE', placeOf(named, task), `There is no role "${other.role}".`, remedy);
        found.borrowed[key] = 'no role';
        continue;
      }
      const base = `${folder}/${FILE_INPUTS[named.input]}/`;
      const path = base + other.path;
      const below = Object.keys(sources.texts).filter((one) => one.startsWith(base));
      const there = below.map((one) => `${other.role}:${one.slice(base.length)}`);
      found.borrowed[key] = { path, there, isBlob: Object.hasOwn(sources.files ?? {}, path) };
      const text = library.text(path);
      if (text !== undefined) found.role.files[key] = text;
    }
  }
}

/**
 * The role's files that a task names by literal texts. A missing one is told; the text of a template is evaluated with the
 * task, so it is checked with it.
 */
export function roleFileUses(found: RoleRead, task: TaskRead, problems: Problems): Use[] {
  const { inputs, action, places, loop } = task.document;
  return namedFiles(action, inputs).flatMap((named): Use[] => {
    const key = keyOf(found, named);
    const text = Object.hasOwn(found.role.files, key) ? found.role.files[key] : undefined;
    if (text === undefined) {
      refuse(named, found, task, problems);
      return [];
    }
    if (named.input !== 'template' || places[named.pointer]) return [];
    const lent = found.borrowed[key];
    const file = typeof lent === 'object' ? lent.path : `${found.folder}/templates/${named.name}`;
    return [{ kind: 'template', text, origin: { file, line: 1, column: 1 }, item: loop !== undefined, after: false }];
  });
}

function refuse(named: NamedFile, found: RoleRead, task: TaskRead, problems: Problems): void {
  const { input, name } = named;
  const borrowed = found.borrowed[keyOf(found, named)];
  if (borrowed === 'no role') return;
  const at = placeOf(named, task);
  if (borrowed?.isBlob ?? (input !== 'template' && Object.hasOwn(found.shipped, name))) {
    const message = `The ${input} "${name}" is no text of at most 1 MiB.`;
    problems.add('PLAN_MISSING', at, message, 'Use copy, which takes any file: copy: {src: …, dest: …}.');
    return;
  }
  const where =
    borrowed || found.folder !== undefined
      ? `it would be ${borrowed?.path ?? `${found.folder}/${FILE_INPUTS[input]}/${name}`}`
      : 'only a role has such files: make a role of these tasks';
  const prefix = `${found.role.name}/${FILE_INPUTS[input]}/`;
  const own = Object.keys(found.role.files).filter((path) => path.startsWith(prefix) && !found.borrowed[path]);
  const there = borrowed?.there ?? own.map((path) => path.slice(prefix.length));
  problems.add('PLAN_MISSING', at, `The ${input} "${name}" is not there; ${where}.`, suggest(name, there));
}

/** By which the files of a role are known, of the plan and on the agent. */
function keyOf({ role }: RoleRead, { input, name }: NamedFile): string {
  return `${role.name}/${FILE_INPUTS[input]}/${name}`;
}

function placeOf({ pointer }: NamedFile, { texts, document }: TaskRead): Position {
  return texts[pointer] ?? document.at;
}
