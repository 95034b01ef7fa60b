import { LOCAL_ACTIONS } from '../../shared/actions/local.ts';
import type { ErrorReport, Position } from '../../shared/errors.ts';
import type { Vars } from '../../shared/share.ts';
import { checkClusterConfig, withClusterDefaults } from './cluster-config.ts';
import { placeComponents } from './components/index.ts';
import { type DocNode, keyPlace, nodeAt, toJson } from './document.ts';
import { checkExpressions } from './expressions.ts';
import { isHook, withHooks } from './hooks.ts';
import { type InventoryRead, readInventory } from './inventory.ts';
import { Library } from './library.ts';
import { checkNeeds } from './needs.ts';
import { beside, isPlaybookPath, playbookFiles } from './paths.ts';
import { type PlayRead, readPlaybook } from './playbook.ts';
import { Problems, show, suggest } from './problems.ts';
import { read } from './read.ts';
import type { RoleRead } from './role.ts';
import { Roles } from './roles.ts';
import {
  InventoryDocument,
  InventoryReference,
  Inventory as InventorySchema,
  PlanFrame,
  PlaybookReference,
} from './schema.ts';
import { selectNodes } from './select.ts';
import type { TaskRead } from './task.ts';
import type { Plan, Play, Sources } from './types.ts';
import { readVars } from './vars.ts';

export interface ParseOptions {
  /** Variables given at run time (`--set`): expressions may name them. */
  runVars?: Vars;
}

/** A play with its nodes and the roles it runs, for the checks over the whole plan. */
export interface PlanPlay {
  play: Play;
  read: PlayRead;
  /** In step with `play.roles`; undefined: the role was not found. */
  roles: (RoleRead | undefined)[];
}

/** Text to plan. Pure. Either the plan, frozen, or everything that is wrong with it, by file and line. */
export function parsePlan(sources: Sources, options: ParseOptions = {}): { plan: Plan } | { problems: ErrorReport[] } {
  const problems = new Problems();
  const library = new Library(sources, problems);
  const root = library.document(sources.plan);
  if (!root && problems.count === 0) library.refuse(sources.plan, 'it is not there');
  const plan = root && readPlan(root, library, options);
  return plan && problems.count === 0 ? { plan: freeze(plan) } : { problems: problems.sorted() };
}

function readPlan(root: DocNode, library: Library, options: ParseOptions): Plan | undefined {
  const { problems } = library;
  if (isOfAnotherKind(root, problems)) return undefined;
  const frame = read(PlanFrame, root, 'the plan', problems);
  if (!frame || root.kind !== 'map') return undefined;
  const inventory = findInventory(nodeAt(root, ['spec', 'inventory']), library);
  const config = readVars(nodeAt(root, ['spec', 'config']), 'plain', problems);
  const playbooks = nodeAt(root, ['spec', 'playbooks']);
  const { sources } = library;
  const meant = sources.playbooks?.map((name) => scalar(name, playbooks?.at ?? root.at));
  const items = meant ?? (playbooks?.kind === 'list' ? playbooks.items : []);
  const reads = items.flatMap((item) => findPlaybook(item, library));
  refuseDuplicatePlays(reads, problems);

  const roles = new Roles(library);
  const all = withHooks(sources.playbooks ? undefined : nodeAt(root, ['spec', 'hooks']), reads, library);
  const plays = all.map((play) => placePlay(play, inventory, roles, problems));
  if (inventory) placeHooks(plays, problems);
  if (inventory) placeTasks(plays, inventory, problems);
  const ofCluster = reads.some((play) => play.ofCluster);
  if (ofCluster && inventory) {
    const ownNames = new Set(Object.values(roles.all()).flatMap(({ defaults }) => Object.keys(defaults)));
    const node = nodeAt(root, ['spec', 'config']);
    const at = keyPlace(nodeAt(root, ['spec']) ?? root, 'playbooks');
    const clusterSources = {
      config: node,
      values: config,
      read: inventory,
      runVars: options.runVars ?? {},
      ownNames,
      at,
    };
    checkClusterConfig(clusterSources, problems);
  }
  const stated = inventory?.inventory ?? { nodes: [], groups: {}, vars: {} };
  const base = { config, inventory: ofCluster ? withClusterDefaults(stated) : stated };
  const components = placeComponents(base, root, roles.read(), options.runVars ?? {}, library);
  const plan: Plan = {
    name: frame.metadata?.name ?? '',
    inventory: base.inventory,
    plays: plays.map(({ play }) => play),
    config: components ? { ...config, components: components.vars } : config,
    roles: roles.all(),
    ...(components ? { components } : {}),
  };
  checkNeeds(plays, problems);
  checkExpressions(plan, plays, options.runVars ?? {}, problems);
  return plan;
}

/** A name that a command gives where the plan's own stand. */
function scalar(value: string, at: Position): DocNode {
  return { kind: 'scalar', at, size: 1, value, content: at, literal: false };
}

/** An inventory or playbook given as the plan: everything else in it would be called wrong, too. */
function isOfAnotherKind(root: DocNode, problems: Problems): boolean {
  const kind = nodeAt(root, ['kind']);
  if (kind?.kind !== 'scalar' || typeof kind.value !== 'string' || kind.value === 'Plan') return false;
  problems.add(
    'PLAN_TYPE',
    kind.at,
    `This is no plan: kind is ${show(kind.value)}.`,
    'Give the file whose kind is Plan.',
  );
  return true;
}

function findInventory(node: DocNode | undefined, library: Library): InventoryRead | undefined {
  const { sources, problems } = library;
  if (!node) return undefined;
  if (node.kind === 'map' && node.entries.has('file')) {
    const reference = read(InventoryReference, node, 'inventory', problems);
    const at = nodeAt(node, ['file'])?.at ?? node.at;
    if (reference?.file === undefined) return undefined;
    const path = beside(sources.plan, reference.file);
    const document = library.document(path);
    if (document) return readInventory(document, InventoryDocument, library);
    if (!library.has(path))
      problems.add(
        'PLAN_MISSING',
        at,
        `The inventory file ${path} is not there.`,
        'Correct the path: it is relative to the plan file.',
      );
    return undefined;
  }
  return readInventory(node, InventorySchema, library);
}

function findPlaybook(node: DocNode, library: Library): PlayRead[] {
  const { sources, problems } = library;
  if (node.kind === 'map') return readPlaybook(node, sources.plan, library);
  const reference = toJson(node);
  if (typeof reference !== 'string' || reference === '') {
    problems.gap();
    read(PlaybookReference, node, 'a playbook', problems);
    return [];
  }
  const candidates = playbookFiles(reference, sources.plan, sources.playbookPath ?? []);
  const file = candidates.find((path) => library.has(path));
  if (file === undefined) {
    problems.gap();
    const guess = isPlaybookPath(reference) ? undefined : suggest(reference, sources.offered?.playbooks ?? []);
    const remedy = `${guess ? `${guess} ` : ''}Looked for: ${candidates.join(', ')}.`;
    problems.add('PLAN_UNKNOWN_PLAYBOOK', node.at, `There is no playbook ${JSON.stringify(reference)}.`, remedy);
    return [];
  }
  const document = library.document(file);
  return document ? readPlaybook(document, file, library) : [];
}

/** A play's name is part of the identity of its steps across runs, so it is stated and unique. */
function refuseDuplicatePlays(plays: readonly PlayRead[], problems: Problems): void {
  const taken = new Map<string, PlayRead>();
  for (const read of plays) {
    const { name, at } = read.play;
    const other = taken.get(name)?.play.at;
    if (name !== '' && other) {
      const message = `The play name "${name}" is taken, at ${other.file}:${other.line}.`;
      problems.add('PLAN_DUPLICATE_NAME', at, message, 'Give each play of the plan its own name.');
    } else taken.set(name, read);
  }
}

function placePlay(read: PlayRead, inventory: InventoryRead | undefined, roles: Roles, problems: Problems): PlanPlay {
  const nodes = inventory ? selectNodes(read.hosts, inventory, problems) : [];
  const found = read.roles.map(({ use }, index) => {
    // a play's own tasks stand at the end
    const isOwn = read.tasks !== undefined && index === read.roles.length - 1 && use.role === read.play.name;
    return isOwn ? roles.ofTasks(use, read.tasks ?? [], read.file) : roles.find(use, read.file);
  });
  const serial = nodes.length === 0 ? undefined : read.serial?.map((size) => batchSize(size, nodes.length));
  return { play: { ...read.play, nodes, serial, roles: read.roles.map(({ use }) => use) }, read, roles: found };
}

/** A hook runs on nodes of its play, and has its script. */
function placeHooks(plays: readonly PlanPlay[], problems: Problems): void {
  for (const { play, read, roles } of plays) {
    if (!isHook(read)) continue;
    const { of, source, text } = read.hook;
    const target = new Set(plays.find((other) => other.play.name === of)?.play.nodes);
    const nodes = play.nodes.filter((node) => target.has(node));
    const [scope] = read.hosts;
    if (nodes.length === 0 && play.nodes.length > 0 && scope) {
      const message = `The play "${of}" runs on no node of "${scope.name}", so this script would never run.`;
      problems.add('PLAN_EMPTY_GROUP', scope.at, message, 'Name a group or host of the play, or remove the script.');
    }
    play.nodes = nodes;
    const [role] = roles;
    if (role) role.role.files[`${role.role.name}/files/${source}`] = text;
  }
}

/** At least one node, so that a small share of few nodes still goes on. */
function batchSize(size: number | string, nodes: number): number {
  if (typeof size === 'number') return size;
  return Math.max(1, Math.floor((Number.parseInt(size, 10) * nodes) / 100));
}

/** Resolves `on:` and `per:`; a selector with exclusions becomes the nodes it stands for. Equal selectors share one list. */
function placeTasks(plays: readonly PlanPlay[], inventory: InventoryRead, problems: Problems): void {
  const selected = new Map<string, string[]>();
  const resolved = (selector: TaskRead['on']): string[] => {
    const names = selector.map(({ name }) => name);
    const key = names.join('\n');
    const known = selected.get(key);
    if (known) return known;
    const before = problems.count;
    const nodes = selectNodes(selector, inventory, problems);
    const made = names.some((name) => name.startsWith('!')) ? nodes : names;
    if (problems.count === before) selected.set(key, made);
    return made;
  };
  for (const { document, on, per } of plays.flatMap(({ roles }) => roles.flatMap((role) => role?.tasks ?? []))) {
    const there = on.find(({ name }) => name === 'controller');
    if (there) {
      const remedy = `The controller does these: ${Object.keys(LOCAL_ACTIONS).join(', ')}. Run the task on a node.`;
      problems.add('PLAN_TYPE', there.at, `The controller does no ${document.action}.`, remedy);
      continue;
    }
    if (on.length > 0) document.on ??= resolved(on);
    if (per.length > 0) document.per ??= resolved(per);
  }
}

/** Nobody changes a plan once it is checked. */
function freeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value;
  Object.freeze(value);
  for (const part of Object.values(value)) freeze(part);
  return value;
}
