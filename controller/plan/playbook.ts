import type { Position } from '../../shared/errors.ts';
import { type DocNode, keyPlace, nodeAt, toJson } from './document.ts';
import type { Library } from './library.ts';
import { suggest } from './problems.ts';
import { read } from './read.ts';
import { readTaskList } from './role.ts';
import { Playbook, Play as PlaySchema, RoleName } from './schema.ts';
import type { Selector } from './select.ts';
import { listOf, placedTexts, type TaskRead } from './task.ts';
import type { Play, RoleUse } from './types.ts';
import { readConditions, templateUses, type Use } from './uses.ts';
import { readVars } from './vars.ts';

/** A play before its hosts and roles are looked up. */
export interface PlayRead {
  play: Omit<Play, 'nodes' | 'serial'>;
  hosts: Selector;
  /** Its playbook says that spec.config is that of a cluster. */
  ofCluster: boolean;
  serial: (number | string)[] | undefined;
  uses: Use[];
  /** Its roles in order, each with what it evaluates itself. */
  roles: { use: RoleUse; uses: Use[] }[];
  tasks: TaskRead[] | undefined;
  /** The file whose neighbour `roles/` is searched. */
  file: string;
}

/** Reads a playbook: a map with `plays`, or the bare list of them. */
export function readPlaybook(node: DocNode, file: string, library: Library): PlayRead[] {
  let plays: DocNode | undefined = node;
  let ofCluster = false;
  if (node.kind === 'map') {
    ofCluster = read(Playbook, node, 'a playbook', library.problems)?.config === 'cluster';
    plays = nodeAt(node, ['plays']);
  }
  if (plays?.kind === 'list') {
    const found: PlayRead[] = [];
    for (const item of plays.items) {
      const play = readPlay(item, file, ofCluster, library);
      if (!play) continue;
      const besides = playsBeside(item, found, library);
      if (besides) play.play.besides = besides;
      found.push(play);
    }
    return found;
  }
  if (node.kind === 'scalar') {
    library.problems.add(
      'PLAN_TYPE',
      node.at,
      'A playbook must be a list of plays.',
      'Write `plays:` with one `- name: …` a play.',
    );
  }
  return [];
}

/** The plays before it in its playbook that are not among its `needs`; undefined: it states none, and waits for all. */
function playsBeside(node: DocNode, before: readonly PlayRead[], { problems }: Library): string[] | undefined {
  const needs = nodeAt(node, ['needs']);
  if (!needs) return undefined;
  const names = before.map(({ play }) => play.name);
  const stated = placedTexts(needs);
  for (const { name, at } of stated) {
    if (names.includes(name)) continue;
    const message = `There is no play "${name}" before this one in its playbook.`;
    problems.add('PLAN_UNKNOWN_PLAY', at, message, suggest(name, names));
  }
  return names.filter((name) => !stated.some((need) => need.name === name));
}

function readPlay(node: DocNode, file: string, ofCluster: boolean, library: Library): PlayRead | undefined {
  const { problems } = library;
  const found = read(PlaySchema, node, 'a play', problems);
  if (!found || node.kind !== 'map') return undefined;
  const uses = templateUses(nodeAt(node, ['vars']));
  const tags = listOf(found.tags);
  const rolesNode = nodeAt(node, ['roles']);
  const roles = (rolesNode?.kind === 'list' ? rolesNode.items : []).flatMap((item) => {
    const role = readRoleUse(item, tags, library);
    return role ?? [];
  });
  const tasksNode = nodeAt(node, ['tasks']);
  if (!rolesNode && !tasksNode) {
    problems.add('PLAN_MISSING', node.at, 'The play has neither roles nor tasks.', 'Add roles or tasks.');
  }
  const play: PlayRead['play'] = {
    name: found.name ?? '',
    precheck: found.precheck ?? false,
    roles: [],
    maxFailPercentage: found.max_fail_percentage,
    anyErrorsFatal: found.any_errors_fatal ?? false,
    afterAll: found.after === 'all',
    vars: readVars(nodeAt(node, ['vars']), 'templates', problems),
    at: nodeAt(node, ['name'])?.at ?? node.at,
  };
  if (tasksNode && found.name !== undefined) {
    const at = keyPlace(node, 'tasks');
    roles.push({ use: { role: found.name, tags, when: [], vars: {}, at }, uses: [] });
  }
  return {
    play,
    hosts: placedTexts(nodeAt(node, ['hosts'])),
    ofCluster,
    serial: found.serial === undefined ? undefined : listOf(found.serial),
    uses,
    roles,
    tasks: tasksNode && readTaskList(tasksNode, file, library),
    file,
  };
}

function readRoleUse(node: DocNode, tags: readonly string[], library: Library): PlayRead['roles'][number] | undefined {
  const name = node.kind === 'map' ? nodeAt(node, ['role']) : node;
  const role = name && RoleName.safeParse(toJson(name)).data;
  if (!name || role === undefined) {
    // told with the play
    library.problems.gap();
    return undefined;
  }
  const uses = templateUses(nodeAt(node, ['vars']));
  const add = (text: string, origin: Position): void => {
    uses.push({ kind: 'condition', text, origin, item: false, after: false });
  };
  const when = readConditions(nodeAt(node, ['when']), add);
  const own = placedTexts(nodeAt(node, ['tags'])).map((tag) => tag.name);
  const vars = readVars(nodeAt(node, ['vars']), 'templates', library.problems);
  return { use: { role, tags: [...new Set([...tags, ...own])], when, vars, at: name.at }, uses };
}
