import { type BlobRef, componentBlob } from '../../../shared/blob.ts';
import type { Position } from '../../../shared/errors.ts';
import { isTemplate } from '../../../shared/expr/index.ts';
import type { Json, Vars } from '../../../shared/share.ts';
import { mergeVars } from '../../../shared/vars.ts';
import { type DocNode, nodeAt, placeOf } from '../document.ts';
import type { Library } from '../library.ts';
import { beside } from '../paths.ts';
import { suggest } from '../problems.ts';
import type { RoleRead } from '../role.ts';
import type { TaskRead } from '../task.ts';
import type { Plan, PlanComponents } from '../types.ts';
import { type Component, type ComponentData, readComponentData } from './data.ts';
import { readLock } from './lock.ts';
import { type ComponentFile, type Resolving, resolveFiles, versionsOf } from './resolve.ts';
import { readDownloadSettings } from './settings.ts';

/** A task with the components that it names. */
interface NamingTask {
  task: TaskRead;
  inputs: { [name: string]: Json };
  names: string[];
  at: Position;
}

/**
 * Gives the tasks that name components what they need of them: to `blob.fetch` where the files are, to the others the digests.
 * What is wrong with components, configuration or lock file is told; of a cluster's settings, what only components know. undefined: the plan says nothing of components.
 */
export function placeComponents(
  plan: Pick<Plan, 'config' | 'inventory'>,
  root: DocNode,
  roles: readonly RoleRead[],
  runVars: Vars,
  ofCluster: boolean,
  library: Library,
): PlanComponents | undefined {
  const { problems, sources } = library;
  const naming = roles.flatMap(({ tasks }) =>
    tasks.flatMap((task) => [task, ...task.recover, ...task.rollback]).flatMap((task) => namingTask(task, library)),
  );
  const found = readComponentData(library);
  if (found === undefined) {
    for (const { at } of naming)
      problems.add('PLAN_COMPONENT', at, 'No components are known.', 'Put a components.yaml beside your playbooks.');
    return undefined;
  }
  const { data } = found;
  const defaults = roles.map(({ role }) => role.defaults);
  const { inventory } = plan;
  const everywhere = inventory.groups['all']?.vars ?? {};
  const vars = mergeVars(...defaults, inventory.vars, everywhere, plan.config, runVars);
  const config = nodeAt(root, ['spec', 'config']);
  const place = (path: readonly (string | number)[]): Position => (config ? placeOf(config, path) : root.at);
  const settings = readDownloadSettings(vars, data, place, problems);
  if (settings === undefined) return undefined;
  const resolving: Resolving = {
    data,
    settings,
    lock: readLock(library),
    fileAt: (path) => sources.files?.[beside(sources.plan, path)],
    versionIsJudged: ofCluster,
    placeOf: place,
    problems,
  };
  refuseUnknown(naming, data, library);
  const files = resolveFiles(new Set(naming.flatMap(({ names }) => names)), resolving);
  for (const one of naming) give(one, files, data, settings.timeout, library);
  const { versions, notes } = versionsOf(resolving);
  const named = Object.keys(data.components).map((name) => [name, { version: versions[name] ?? '' }] as const);
  return { files, lock: resolving.lock, notes, vars: { ...Object.fromEntries(named), versions } };
}

/** The components that a task names: one, or with `component: "{{ item }}"` those of its loop. */
function namingTask(task: TaskRead, { problems }: Library): NamingTask[] {
  const { action, inputs, loop } = task.document;
  if (!['blob.fetch', 'copy', 'unarchive'].includes(action) || !isMap(inputs)) return [];
  const { component } = inputs;
  if (typeof component !== 'string') return [];
  const at = task.texts['/inputs/component'] ?? task.document.at;
  if (!isTemplate(component)) return [{ task, inputs, names: [component], at }];
  const items = /^\{\{\s*item\s*\}\}$/.test(component) && Array.isArray(loop) ? loop : [];
  const names = items.filter((item) => typeof item === 'string' && !isTemplate(item)) as string[];
  if (names.length > 0 && names.length === items.length) return [{ task, inputs, names, at }];
  const message = 'A component is named before any value is known, so it cannot be a template.';
  problems.add('PLAN_TYPE', at, message, 'Write it out, or write "{{ item }}" with a loop over their names.');
  return [];
}

function refuseUnknown(naming: readonly NamingTask[], data: ComponentData, { problems }: Library): void {
  const brought = new Set(naming.flatMap(({ task, names }) => (task.document.action === 'blob.fetch' ? names : [])));
  for (const { names, at } of naming) {
    for (const name of names) {
      if (!Object.hasOwn(data.components, name)) {
        const remedy = suggest(name, Object.keys(data.components));
        problems.add('PLAN_COMPONENT', at, `There is no component "${name}".`, remedy);
      } else if (!brought.has(name)) {
        const remedy = `Add a task: blob.fetch: { component: ${name} } with on: controller.`;
        problems.add('PLAN_COMPONENT', at, `Nothing in the plan fetches the component ${name}.`, remedy);
      }
    }
  }
}

function give(
  { task, inputs, names, at }: NamingTask,
  files: readonly ComponentFile[],
  data: ComponentData,
  timeout: number,
  { problems }: Library,
): void {
  const { document } = task;
  document.components = names;
  document.blobs = {
    ...document.blobs,
    ...Object.fromEntries(files.filter(({ component }) => names.includes(component)).flatMap((file) => blobOf(file))),
  };
  if (document.action === 'blob.fetch') {
    for (const key of ['origins', 'timeout']) {
      if (inputs[key] === undefined) continue;
      const message = `blob.fetch has no input "${key}" that a plan may state.`;
      problems.add(
        'PLAN_ACTION_INPUT',
        task.texts[`/inputs/${key}`] ?? at,
        message,
        'State it under download.overrides.',
      );
    }
    document.inputs = { ...inputs, origins: originsOf(names, files), timeout };
    return;
  }
  if (document.action === 'copy') return;
  for (const name of names) {
    const component = data.components[name];
    if (component?.kind !== 'binary') continue;
    const remedy = `Use copy: {component: ${name}, dest: …}.`;
    problems.add('PLAN_COMPONENT', at, `The component ${name} is one file and no archive.`, remedy);
  }
  const [first] = names;
  document.inputs = { ...unpackingOf(first === undefined ? undefined : data.components[first]), ...inputs };
}

/** How the archive is laid out, for what the task leaves unstated. */
function unpackingOf(component: Component | undefined): { [name: string]: Json } {
  const { strip, include } = component ?? {};
  return { ...(strip === undefined ? {} : { strip }), ...(include === undefined ? {} : { include }) };
}

function originsOf(names: readonly string[], files: readonly ComponentFile[]): { [name: string]: Json } {
  return Object.fromEntries(
    names.map((name) => {
      const of = files.filter(({ component }) => component === name);
      const byArch = of.map(({ arch, urls, sha256 = '' }) => [arch, { urls, sha256 }] as const);
      return [name, { version: of[0]?.version ?? '', files: Object.fromEntries(byArch) }];
    }),
  );
}

function blobOf({ component, arch, kind, sha256, file }: ComponentFile): [string, BlobRef][] {
  if (sha256 === undefined) return [];
  const blob = file ?? { sha256, ...(kind === 'binary' ? { executable: true as const } : {}) };
  return [[componentBlob(component, arch), blob]];
}

function isMap(value: Json): value is { [name: string]: Json } {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
