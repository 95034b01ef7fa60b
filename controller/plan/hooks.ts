import type { Position } from '../../shared/errors.ts';
import { type DocMap, type DocNode, type DocScalar, keyPlace, nodeAt } from './document.ts';
import type { Library } from './library.ts';
import { beside } from './paths.ts';
import type { PlayRead } from './playbook.ts';
import { suggest } from './problems.ts';
import { read } from './read.ts';
import { readTaskList } from './role.ts';
import { Hook } from './schema.ts';

/** A play made of a script of a hook: it runs beside `of`, on nodes of it. */
export interface HookPlay extends PlayRead {
  hook: { of: string; source: string; text: string };
}

const WHEN = ['before', 'after'] as const;

/**
 * Puts the plays of `spec.hooks` beside those that they name. Each script is a play of one task, so that it is seen, kept and
 * judged as any other: first the script of all nodes, then those of groups, then those of hosts.
 */
export function withHooks(hooks: DocNode | undefined, plays: readonly PlayRead[], library: Library): PlayRead[] {
  const made = (hooks?.kind === 'list' ? hooks.items : []).flatMap((hook) => readHook(hook, plays, library));
  const taken = new Set(plays.map(({ play }) => play.name));
  for (const { play, roles } of made.map(({ read }) => read)) {
    const { name } = play;
    for (let number = 2; taken.has(play.name); number += 1) play.name = `${name} (${number})`;
    taken.add(play.name);
    for (const { use } of roles) use.role = play.name;
  }
  const at = (when: (typeof WHEN)[number], name: string): PlayRead[] =>
    made.filter((hook) => hook.when === when && hook.read.hook.of === name).map(({ read }) => read);
  return plays.flatMap((play) => [...at('before', play.play.name), play, ...at('after', play.play.name)]);
}

export function isHook(play: PlayRead): play is HookPlay {
  return 'hook' in play;
}

interface Made {
  when: (typeof WHEN)[number];
  read: HookPlay;
}

function readHook(node: DocNode, plays: readonly PlayRead[], library: Library): Made[] {
  const { problems } = library;
  const found = read(Hook, node, 'a hook', problems);
  if (!found || node.kind !== 'map') return [];
  const stated = WHEN.filter((word) => nodeAt(node, [word]) !== undefined);
  const [when] = stated;
  if (when === undefined || stated.length > 1) {
    const message = when === undefined ? 'The hook says neither before nor after.' : 'The hook says before and after.';
    problems.add('PLAN_MISSING', node.at, message, 'Write `before: <play>` or `after: <play>`.');
    return [];
  }
  const of = nodeAt(node, [when]);
  const target = plays.find(({ play }) => play.name === found[when]);
  if (!target || !of) {
    const names = plays.map(({ play }) => play.name);
    problems.add(
      'PLAN_UNKNOWN_PLAY',
      of?.at ?? node.at,
      `There is no play "${found[when]}" in the playbooks of this plan.`,
      suggest(String(found[when]), names),
    );
    return [];
  }
  return scriptsOf(node).map((script) => ({ when, read: playOf(node, { when, of: target, ...script }, library) }));
}

/** `scope` undefined: all nodes of the play. */
interface Script {
  scope: { name: string; at: Position } | undefined;
  script: DocScalar & { value: string };
  at: Position;
}

function scriptsOf(hook: DocMap): Script[] {
  const list = (node: DocNode | undefined, scope: Script['scope']): Script[] =>
    (node?.kind === 'list' ? node.items : node ? [node] : []).flatMap((item) =>
      item.kind === 'scalar' && typeof item.value === 'string'
        ? [{ scope, script: item as Script['script'], at: item.at }]
        : [],
    );
  const byName = (node: DocNode | undefined): Script[] =>
    node?.kind === 'map' ? [...node.entries].flatMap(([name, { key, value }]) => list(value, { name, at: key })) : [];
  const scripts = nodeAt(hook, ['scripts']);
  return [
    ...list(nodeAt(scripts, ['all']), undefined),
    ...byName(nodeAt(scripts, ['groups'])),
    ...byName(nodeAt(scripts, ['hosts'])),
  ];
}

function playOf(
  hook: DocMap,
  { when, of, scope, script, at }: Script & { when: string; of: PlayRead },
  library: Library,
): HookPlay {
  const { sources, problems } = library;
  const path = beside(sources.plan, script.value);
  const text = Object.hasOwn(sources.texts, path) ? sources.texts[path] : undefined;
  if (text === undefined) {
    const refused = sources.refused?.[path];
    if (refused !== undefined) library.refuse(path, refused);
    else {
      const remedy = 'Correct the path: it is relative to the plan file.';
      problems.add('PLAN_MISSING', at, `The script ${path} is not there.`, remedy);
    }
  }
  const name = `${when} ${of.play.name}: ${scope?.name ?? 'all'} ${script.value}`;
  const tasks = readTaskList(taskOf(hook, script), sources.plan, library);
  return {
    play: {
      name,
      precheck: false,
      roles: [],
      maxFailPercentage: undefined,
      anyErrorsFatal: false,
      afterAll: false,
      vars: {},
      hookOf: of.play.name,
      ...(of.play.besides ? { besides: of.play.besides } : {}),
      at,
    },
    hosts: scope ? [scope] : of.hosts,
    ofCluster: false,
    serial: undefined,
    uses: [],
    // So that `--tags` and `--skip-tags` take it with its play.
    roles: [
      {
        use: { role: name, tags: [...new Set(of.roles.flatMap(({ use }) => use.tags))], when: [], vars: {}, at },
        uses: [],
      },
    ],
    tasks,
    file: sources.plan,
    // Without its script it is no plan, but all else that is wrong with the hook is told, too.
    hook: { of: of.play.name, source: script.value, text: text ?? '' },
  };
}

/** The task that a person would write: every part of it stands where it was written. */
function taskOf(hook: DocMap, script: Script['script']): DocNode {
  const { at } = script;
  const map = (entries: [string, DocNode | undefined][]): DocNode => ({
    kind: 'map',
    at,
    size: 1,
    entries: new Map(
      entries.flatMap(([key, value]) => (value ? [[key, { key: keyPlace(hook, key), value }] as const] : [])),
    ),
  });
  const inputs = map([
    ['source', script],
    ['args', nodeAt(hook, ['args'])],
    ['env', nodeAt(hook, ['env'])],
    ['user', nodeAt(hook, ['user'])],
  ]);
  const task = map([
    ['name', script],
    ['script', inputs],
    ['timeout', nodeAt(hook, ['timeout'])],
  ]);
  return { kind: 'list', at, size: 1, items: [task] };
}
