import { ACTIONS, isActionKind } from '../../shared/actions/index.ts';
import { type BlobRef, blobName, blobsOf, isBesidePlan } from '../../shared/blob.ts';
import { isTemplate } from '../../shared/expr/index.ts';
import { chosenFile } from './chosen-file.ts';
import type { Library } from './library.ts';
import { beside } from './paths.ts';
import { suggest } from './problems.ts';
import type { RoleRead } from './role.ts';
import type { TaskRead } from './task.ts';

/**
 * Gives each task that takes files the digests of those that its `src` may name: of a template that is all of the role's. What
 * is not there is told.
 */
export function nameBlobs(found: RoleRead, library: Library): void {
  for (const task of found.tasks.flatMap((task) => [task, ...task.recover, ...task.rollback])) {
    const { action, inputs } = task.document;
    if (action === 'fetch') refuseTemplate(task, library);
    if (!isActionKind(action) || !('takesFiles' in ACTIONS[action])) continue;
    if (typeof inputs !== 'object' || inputs === null || Array.isArray(inputs)) continue;
    const { src } = inputs;
    if (typeof src === 'string' && src !== '') task.document.blobs = tableFor(src, task, found, library);
  }
}

/** The controller says where files come to, and evaluates nothing. */
function refuseTemplate({ document: { inputs, at }, texts }: TaskRead, { problems }: Library): void {
  if (typeof inputs !== 'object' || inputs === null || Array.isArray(inputs)) return;
  for (const name of ['dest', 'layout', 'max_bytes']) {
    const value = inputs[name];
    if (typeof value !== 'string' || !isTemplate(value)) continue;
    const message = `"${name}" of fetch is read by the controller, so it cannot be a template.`;
    problems.add('PLAN_TYPE', texts[`/inputs/${name}`] ?? at, message, 'Write the value out.');
  }
}

function tableFor(src: string, task: TaskRead, found: RoleRead, library: Library): Record<string, BlobRef> | undefined {
  const { problems, sources } = library;
  const chosen = chosenFile(src, library.document(sources.plan));
  if (chosen !== undefined) return tableOfChosen(chosen, library);
  const at = task.texts['/inputs/src'] ?? task.document.at;
  const place = isBesidePlan(src) ? beside(sources.plan, src) : found.folder && `${found.folder}/files/${src}`;
  if (isTemplate(src)) {
    if (place !== undefined && !isBesidePlan(src)) return { ...found.shipped };
    const message = 'A src beside the plan is read before any value is known, so it cannot be a template.';
    problems.add('PLAN_TYPE', at, message, 'Put the files into files/ of a role, and name them from there.');
    return undefined;
  }
  if (place === undefined) {
    const remedy = `Write "./${src}" for a file beside the plan, or make a role of these tasks.`;
    problems.add('PLAN_MISSING', at, `The src "${src}" is not there; only a role has files/.`, remedy);
    return undefined;
  }
  const table = isBesidePlan(src) ? besidePlan(src, place, library) : partOf(found.shipped, src);
  if (Object.keys(table).length > 0) return table;
  const why = sources.refused?.[place];
  if (why !== undefined) library.refuse(place, why);
  else {
    const there = Object.keys(isBesidePlan(src) ? {} : found.shipped);
    const remedy = there.length > 0 ? suggest(src, there) : 'Correct the path.';
    problems.add('PLAN_MISSING', at, `The src "${src}" is not there; it would be ${place}.`, remedy);
  }
  return undefined;
}

function tableOfChosen(
  { path, at }: NonNullable<ReturnType<typeof chosenFile>>,
  library: Library,
): Record<string, BlobRef> | undefined {
  const place = beside(library.sources.plan, path);
  const table = besidePlan(path, place, library);
  if (Object.keys(table).length > 0) return table;
  const why = library.sources.refused?.[place];
  if (why !== undefined) library.refuse(place, why);
  else
    library.problems.add(
      'PLAN_MISSING',
      at,
      `There is no file ${place}.`,
      'Correct the path: it is relative to the plan.',
    );
  return undefined;
}

/** The file, or all that is in the folder. */
function partOf(shipped: Readonly<Record<string, BlobRef>>, src: string): Record<string, BlobRef> {
  const found = blobsOf(shipped, src);
  if (found === undefined) return {};
  const name = blobName(src);
  if ('file' in found) return { [name]: found.file };
  const below = name === '' ? '' : `${name}/`;
  return Object.fromEntries(Object.entries(found.directory).map(([path, blob]) => [`${below}${path}`, blob]));
}

function besidePlan(src: string, place: string, library: Library): Record<string, BlobRef> {
  const name = blobName(src);
  const folder = place.replace(/\/$/, '');
  const file = library.sources.files?.[folder];
  if (file !== undefined) return { [name]: file };
  const below = name.endsWith('/') ? name : `${name}/`;
  const found = Object.entries(library.filesUnder(folder)).map(([path, blob]) => [`${below}${path}`, blob] as const);
  return Object.fromEntries(found);
}
