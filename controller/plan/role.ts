import type { BlobRef } from '../../shared/blob.ts';
import { isTemplate } from '../../shared/expr/index.ts';
import type { Vars } from '../../shared/share.ts';
import { nameBlobs } from './blobs.ts';
import { isBlockNode, readBlock } from './block.ts';
import { type DocMap, type DocNode, keyPlace, nodeAt } from './document.ts';
import type { Library } from './library.ts';
import { beside } from './paths.ts';
import { suggest } from './problems.ts';
import { read } from './read.ts';
import { placeRemedies } from './remedies.ts';
import { type Borrowed, borrowFiles } from './role-files.ts';
import { Defaults, IncludeWords, TaskWords } from './schema.ts';
import { type Inherited, listOf, NOTHING, readTask, type TaskRead } from './task.ts';
import type { Role } from './types.ts';
import { readConditions, templateUses } from './uses.ts';
import { readVars } from './vars.ts';

/** A role with everything in it that is evaluated. */
export interface RoleRead {
  role: Role;
  tasks: TaskRead[];
  /** The folder it was found in; undefined for the tasks of a play. */
  folder: string | undefined;
  /** All that is in its files/, by the path in it. */
  shipped: Readonly<Record<string, BlobRef>>;
  /** Files of other roles that it takes, by the key in `role.files`; 'no role': there is none of that name, which was told. */
  borrowed: Record<string, Borrowed | 'no role'>;
}

/** Files that one role may include, one after another. */
const MAX_INCLUDES = 500;

/** Reads the role in `folder`: tasks.yaml, defaults.yaml, templates/ and files/. `playbook`: whose play runs it. */
export function readRole(name: string, folder: string, playbook: string, library: Library): RoleRead {
  const { problems } = library;
  const tasksFile = `${folder}/tasks.yaml`;
  const node = library.document(tasksFile);
  const tasks = node ? readTaskList(node, tasksFile, library) : [];
  const defaultsFile = `${folder}/defaults.yaml`;
  const given = library.has(defaultsFile) ? library.document(defaultsFile) : undefined;
  let defaults: Vars = {};
  // a file of nothing but comments is a role without defaults
  if (given && !(given.kind === 'scalar' && given.value === null)) {
    read(Defaults, given, 'defaults', problems);
    defaults = readVars(given, 'plain', problems);
  }
  const files: Record<string, string> = {};
  for (const kind of ['templates', 'files']) {
    for (const [path, text] of Object.entries(library.under(`${folder}/${kind}`)))
      files[`${name}/${kind}/${path}`] = text;
  }
  const role = { name, tasks: tasks.map((task) => task.document), defaults, files };
  const found = { role, tasks, folder, shipped: library.filesUnder(`${folder}/files`), borrowed: {} };
  nameBlobs(found, library);
  placeRemedies(found, library);
  borrowFiles(found, playbook, library);
  return found;
}

/** The tasks of a play as the role they are. */
export function roleOfTasks(name: string, tasks: TaskRead[], playbook: string, library: Library): RoleRead {
  const role = { name, tasks: tasks.map((task) => task.document), defaults: {}, files: {} };
  const found = { role, tasks, folder: undefined, shipped: {}, borrowed: {} };
  nameBlobs(found, library);
  placeRemedies(found, library);
  borrowFiles(found, playbook, library);
  return found;
}

/** Reads a list of tasks with everything it includes, and gives each task the id that is unique in the list. */
export function readTaskList(node: DocNode, file: string, library: Library): TaskRead[] {
  const budget = { includes: 0 };
  const tasks = readList(node, file, [file], NOTHING, budget, library);
  giveIds(tasks, library);
  return tasks;
}

function readList(
  node: DocNode,
  file: string,
  stack: readonly string[],
  inherited: Inherited,
  budget: { includes: number },
  library: Library,
): TaskRead[] {
  if (node.kind !== 'list') {
    const remedy =
      node.kind === 'map' && node.entries.has('tasks')
        ? 'Remove "tasks:" and write the list alone.'
        : 'Write one `- name: …` a task.';
    library.problems.add('PLAN_TYPE', node.at, 'Tasks must be a list.', remedy);
    return [];
  }
  return node.items.flatMap((item) => {
    if (item.kind === 'map' && item.entries.has('include_tasks')) {
      return readInclude(item, file, stack, inherited, budget, library);
    }
    if (isBlockNode(item)) {
      const readTasks = (list: DocNode, handed: Inherited) => readList(list, file, stack, handed, budget, library);
      return readBlock(item, inherited, readTasks, library.problems);
    }
    return readTask(item, inherited, library.problems) ?? [];
  });
}

function readInclude(
  node: DocMap,
  file: string,
  stack: readonly string[],
  inherited: Inherited,
  budget: { includes: number },
  library: Library,
): TaskRead[] {
  const { problems } = library;
  for (const key of node.entries.keys()) {
    if (Object.hasOwn(IncludeWords.shape, key) || !Object.hasOwn(TaskWords.shape, key)) continue;
    const message = `"${key}" cannot be given to include_tasks: the included tasks are only put in its place.`;
    problems.add('PLAN_UNKNOWN_KEY', keyPlace(node, key), message, 'Give it to the included tasks themselves.');
  }
  const known = new Map(
    [...node.entries].filter(([key]) => Object.hasOwn(IncludeWords.shape, key) || !Object.hasOwn(TaskWords.shape, key)),
  );
  const found = read(IncludeWords, { ...node, entries: known }, 'include_tasks', problems) ?? {};
  const place = nodeAt(node, ['include_tasks']);
  if (found.include_tasks === undefined || !place) return [];
  if (isTemplate(found.include_tasks)) {
    problems.add(
      'PLAN_TYPE',
      place.at,
      'include_tasks is read before any value is known, so it cannot be a template.',
      'Name the file; choose with when.',
    );
    return [];
  }
  const path = beside(file, found.include_tasks);
  if (stack.includes(path)) {
    const cycle = [...stack.slice(stack.indexOf(path)), path].join(' > ');
    problems.add(
      'PLAN_INCLUDE_CYCLE',
      place.at,
      `Task files include each other: ${cycle}.`,
      'Remove one of the include_tasks.',
    );
    return [];
  }
  if (!library.has(path)) {
    const folder = path.slice(0, path.lastIndexOf('/') + 1);
    const there = Object.keys(library.sources.texts).filter(
      (other) => other.startsWith(folder) && other.endsWith('.yaml'),
    );
    problems.gap();
    problems.add('PLAN_MISSING', place.at, `The task file ${path} is not there.`, suggest(path, there));
    return [];
  }
  budget.includes += 1;
  if (budget.includes > MAX_INCLUDES) {
    problems.add('PLAN_INCLUDE_CYCLE', place.at, `More than ${MAX_INCLUDES} files are included.`, 'Split the role.');
    return [];
  }
  const document = library.document(path);
  return document
    ? readList(document, path, [...stack, path], handDown(node, found.tags, inherited, library), budget, library)
    : [];
}

function handDown(node: DocMap, tags: string | string[] | undefined, outer: Inherited, library: Library): Inherited {
  const uses = templateUses(nodeAt(node, ['vars']));
  const conditions = readConditions(nodeAt(node, ['when']), (text, origin) => {
    uses.push({ kind: 'condition', text, origin, item: false, after: false });
  });
  return {
    when: [...outer.when, ...conditions],
    tags: [...outer.tags, ...listOf(tags)],
    vars: { ...outer.vars, ...readVars(nodeAt(node, ['vars']), 'templates', library.problems) },
    uses: [...outer.uses, ...uses],
    within: outer.within,
  };
}

/** Stated ids must be unique; made ones get a number where they are not. */
function giveIds(tasks: TaskRead[], library: Library): void {
  const taken = new Map<string, TaskRead>();
  for (const task of tasks) {
    if (!task.idStated) continue;
    const { id, at } = task.document;
    const other = taken.get(id);
    if (other) {
      const message = `The task id "${id}" is taken by the task in line ${other.document.at.line} of ${other.document.at.file}.`;
      library.problems.add('PLAN_DUPLICATE_NAME', at, message, 'Give one of them another id.');
    } else taken.set(id, task);
  }
  for (const task of tasks) {
    if (task.idStated) continue;
    const base = task.document.id;
    for (let n = 2; taken.has(task.document.id); n++) task.document.id = `${base}-${n}`;
    taken.set(task.document.id, task);
  }
}
