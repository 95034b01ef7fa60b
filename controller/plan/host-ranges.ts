import { isNodeName, NODE_NAME_RULE } from '../../shared/identity.ts';
import { type DocEntry, type DocNode, nodeAt } from './document.ts';
import { type Problems, show } from './problems.ts';
import { expandRanges, hasRange } from './ranges.ts';

/**
 * An inventory in which every host is written out: `node[001:100]` with the address `10.0.0.[1:100]` is a hundred hosts, and
 * where a group lists `node[001:010]` it lists ten. Address and ssh.host advance with the name, and have as many or one (a
 * jump by ports, say); all else is the same for each. What is wrong is told at its place and left out.
 */
export function writeOutRanges(root: DocNode, problems: Problems): DocNode {
  if (root.kind !== 'map') return root;
  const entries = new Map(root.entries);
  const hosts = root.entries.get('hosts');
  if (hosts?.value.kind === 'map') {
    entries.set('hosts', { ...hosts, value: { ...hosts.value, entries: hostEntries(hosts.value.entries, problems) } });
  }
  const groups = root.entries.get('groups');
  if (groups?.value.kind === 'map') {
    const written = [...groups.value.entries].map(
      ([name, entry]) => [name, { ...entry, value: groupOf(entry.value, problems) }] as const,
    );
    entries.set('groups', { ...groups, value: { ...groups.value, entries: new Map(written) } });
  }
  return { ...root, entries };
}

function hostEntries(stated: ReadonlyMap<string, DocEntry>, problems: Problems): Map<string, DocEntry> {
  const written = new Map<string, DocEntry>();
  for (const [text, entry] of stated) {
    for (const [name, value] of hostsOf(text, entry, problems)) {
      const before = written.get(name);
      if (!before) written.set(name, { key: entry.key, value });
      else {
        const message = `The host ${name} is there twice: in ${text}, and in line ${before.key.line}.`;
        problems.add('PLAN_DUPLICATE_NAME', entry.key, message, 'Let each host be named once.');
      }
    }
  }
  return written;
}

function hostsOf(text: string, { key, value }: DocEntry, problems: Problems): [string, DocNode][] {
  const rangesElsewhere = ADVANCING.some((path) => hasRange(textAt(value, path) ?? ''));
  if (!hasRange(text) && !rangesElsewhere) return [[text, value]];
  const names = expandRanges(text);
  if ('wrong' in names) {
    problems.add('PLAN_RANGE', key, `The name ${show(text)} cannot be written out: ${names.wrong}.`, HOW);
    return [];
  }
  const bad = names.find((name) => !isNodeName(name));
  if (bad !== undefined) {
    problems.add('PLAN_TYPE', key, `${show(bad)} is no valid name of a host.`, `A name here is: ${NODE_NAME_RULE}.`);
    return [];
  }
  let hosts = names.map((name): [string, DocNode] => [name, value]);
  for (const path of ADVANCING) {
    const pattern = textAt(value, path);
    const at = nodeAt(value, path)?.at;
    if (pattern === undefined || at === undefined) continue;
    const texts = expandRanges(pattern);
    const isSame = !('wrong' in texts) && texts.length === 1 && path.at(-1) !== 'address';
    if ('wrong' in texts)
      problems.add('PLAN_RANGE', at, `${show(pattern)} cannot be written out: ${texts.wrong}.`, HOW);
    else if (texts.length !== names.length && !isSame) {
      const message = `${text} is ${count(names.length)}, and ${pattern} is ${texts.length}.`;
      problems.add('PLAN_RANGE', at, message, 'Let both ranges have the same length.');
    }
    const isTold = 'wrong' in texts || (texts.length !== names.length && !isSame);
    hosts = hosts.map(([name, host], i) => [name, withText(host, path, isTold ? TOLD : (texts[i] ?? pattern))]);
  }
  return hosts;
}

/** In place of what was told: whoever reads addresses says nothing more of one with a bracket. */
const TOLD = '[]';

/** What advances with the name of a host. */
const ADVANCING = [['address'], ['ssh', 'host']] as const;
const HOW = 'Write a range as [1:100], [001:100], [a:f] or [0:20:5]: first and last, and a step.';

function textAt(node: DocNode, path: readonly string[]): string | undefined {
  const found = nodeAt(node, path);
  return found?.kind === 'scalar' && typeof found.value === 'string' ? found.value : undefined;
}

/** The map with another text at the path, which is there. */
function withText(node: DocNode, [head = '', ...rest]: readonly string[], text: string): DocNode {
  const entry = node.kind === 'map' ? node.entries.get(head) : undefined;
  if (node.kind !== 'map' || !entry) return node;
  const inner = entry.value;
  const value =
    rest.length > 0 ? withText(inner, rest, text) : inner.kind === 'scalar' ? { ...inner, value: text } : inner;
  return { ...node, entries: new Map(node.entries).set(head, { ...entry, value }) };
}

/** A group as a map or as the bare list of its hosts. */
function groupOf(group: DocNode, problems: Problems): DocNode {
  if (group.kind === 'list') return { ...group, items: group.items.flatMap((item) => itemsOf(item, problems)) };
  const hosts = group.kind === 'map' ? group.entries.get('hosts') : undefined;
  if (group.kind !== 'map' || hosts?.value.kind !== 'list') return group;
  return {
    ...group,
    entries: new Map(group.entries).set('hosts', { ...hosts, value: groupOf(hosts.value, problems) }),
  };
}

function itemsOf(item: DocNode, problems: Problems): DocNode[] {
  if (item.kind !== 'scalar' || typeof item.value !== 'string' || !hasRange(item.value)) return [item];
  const names = expandRanges(item.value);
  if (!('wrong' in names)) return names.map((value) => ({ ...item, value }));
  problems.add('PLAN_RANGE', item.at, `${show(item.value)} cannot be written out: ${names.wrong}.`, HOW);
  return [];
}

function count(hosts: number): string {
  return hosts === 1 ? '1 host' : `${hosts} hosts`;
}
