import { ACTIONS } from '../../shared/actions/index.ts';
import { isBesidePlan } from '../../shared/blob.ts';
import { isTemplate } from '../../shared/expr/index.ts';
import { BlockPart } from '../../shared/share.ts';
import { type DocNode, nodeAt, textsOf } from './document.ts';
import { parseYaml } from './parse.ts';
import { isRoleName } from './paths.ts';
import { Problems } from './problems.ts';
import { FILE_INPUTS, ofOtherRole, TAKES_FILES } from './shared-files.ts';

/**
 * What a document refers to, read leniently: whatever is wrong is told by validation, which meets the same words again.
 */

/** `spec.inventory.file` of a plan. */
export function inventoryFileOf(plan: string): string | undefined {
  const document = parse(plan);
  return text(document && nodeAt(document, ['spec', 'inventory', 'file']));
}

/** The table of an inventory: `csv` at its top, or under `spec.inventory` of a plan. */
export function tableOf(source: string): string | undefined {
  const document = parse(source);
  return text(nodeAt(document, ['csv'])) ?? text(nodeAt(document, ['spec', 'inventory', 'csv']));
}

/** The playbooks of a plan: a name or path, or the inline playbook. */
export function playbookReferencesOf(plan: string): (string | DocNode)[] {
  const document = parse(plan);
  const list = document && nodeAt(document, ['spec', 'playbooks']);
  return list?.kind === 'list' ? list.items.map((item) => text(item) ?? item) : [];
}

/** Does this playbook say that spec.config is that of a cluster? */
export function isClusterPlaybook(source: string | DocNode): boolean {
  const document = typeof source === 'string' ? parse(source) : source;
  return text(nodeAt(document, ['config'])) === 'cluster';
}

/** The scripts of a plan's hooks. */
export function hookScriptsOf(plan: string): string[] {
  const document = parse(plan);
  return itemsOf(document && nodeAt(document, ['spec', 'hooks'])).flatMap((hook) => {
    const scripts = nodeAt(hook, ['scripts']);
    return scripts ? [...textsOf(scripts)].map(({ node }) => node.value) : [];
  });
}

/** Files that a plan has instead of components: `spec.config.download.overrides.<component>.path`. */
export function overridePathsOf(plan: string): string[] {
  const document = parse(plan);
  const overrides = nodeAt(document, ['spec', 'config', 'download', 'overrides']);
  const each = overrides?.kind === 'map' ? [...overrides.entries.values()] : [];
  return each.flatMap(({ value }) => {
    const path = nodeAt(value, ['path']);
    return path ? [...textsOf(path)].map(({ node }) => node.value) : [];
  });
}

export interface References {
  roles: string[];
  /** Roles of which tasks take single files. */
  lenders: string[];
  /** Relative to the file that names them. */
  includes: string[];
  /** Lists of known failures, relative to the file that names them. */
  remedies: string[];
  /** Files and folders to be copied: relative to the plan, or absolute; and templates, of which a few name a setting. */
  files: string[];
}

/** What a playbook or a list of tasks names itself. */
export function referencesOf(source: string | DocNode): References {
  const document = typeof source === 'string' ? parse(source) : source;
  const top = itemsOf(document?.kind === 'map' ? nodeAt(document, ['plays']) : document);
  const roles = top
    .flatMap((play) => itemsOf(nodeAt(play, ['roles'])))
    .map((use) => text(use) ?? text(nodeAt(use, ['role'])));
  const tasks = [...top, ...top.flatMap((play) => itemsOf(nodeAt(play, ['tasks'])))].flatMap(withParts);
  const includes = tasks.map((task) => text(nodeAt(task, ['include_tasks'])));
  const files = tasks.flatMap(withAsides).flatMap(sourcesOf);
  const lenders = tasks.flatMap(withAsides).flatMap(lendersOf);
  return {
    roles: roles.filter((role) => role !== undefined && isRoleName(role)) as string[],
    lenders: [...new Set(lenders)].filter(isRoleName),
    includes: includes.filter((path) => path !== undefined),
    remedies: tasks.flatMap(withAsides).flatMap(remediesOf),
    files: [...new Set(files)].filter((src) => isBesidePlan(src) || isTemplate(src)),
  };
}

/** A task, or a block with everything in it. */
function withParts(task: DocNode): DocNode[] {
  return [task, ...BlockPart.options.flatMap((part) => itemsOf(nodeAt(task, [part])).flatMap(withParts))];
}

/** A task with those that restore or undo it. */
function withAsides(task: DocNode): DocNode[] {
  return [task, ...['recover', 'rollback'].flatMap((word) => itemsOf(nodeAt(task, [word])).flatMap(withParts))];
}

const TAKE_FILES = Object.values(ACTIONS).flatMap((action) => ('takesFiles' in action ? [action.kind] : []));

/** What its action, if it is one that takes files, names as `src`. */
function sourcesOf(task: DocNode): string[] {
  return [...TAKE_FILES, 'with'].flatMap((key) => text(nodeAt(task, [key, 'src'])) ?? []);
}

/** The file that it names as `remedies`, if it runs a program. */
function remediesOf(task: DocNode): string[] {
  return ['command', 'script', 'with'].flatMap((key) => text(nodeAt(task, [key, 'remedies'])) ?? []);
}

/** The roles whose files its action takes. */
function lendersOf(task: DocNode): string[] {
  const inputs = [...TAKES_FILES, 'with'].flatMap((key) => nodeAt(task, [key]) ?? []);
  const names = inputs.flatMap((node) => [
    node,
    ...Object.keys(FILE_INPUTS).flatMap((input) => {
      const named = nodeAt(node, [input]);
      return named?.kind === 'list' ? named.items : (named ?? []);
    }),
  ]);
  return names.flatMap((node) => ofOtherRole(text(node) ?? '')?.role ?? []);
}

function parse(source: string): DocNode | undefined {
  return parseYaml('', source, new Problems());
}

function itemsOf(node: DocNode | undefined): DocNode[] {
  return node?.kind === 'list' ? node.items : [];
}

function text(node: DocNode | undefined): string | undefined {
  return node?.kind === 'scalar' && typeof node.value === 'string' && node.value !== '' ? node.value : undefined;
}
