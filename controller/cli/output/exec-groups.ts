import type { Colors } from './colors.ts';
import { byName, isGood } from './exec-text.ts';
import { clean, count, names } from './text.ts';

/** Nodes that ended in the same way and wrote the same. */
export interface EqualResults {
  /** `exit 0`, `exit 1`, `COMMAND_TIMEOUT: …`. */
  result: string;
  nodes: string[];
  /** What each of them wrote, standard output first. */
  output: string[];
}

/** Names in the head of a group; `-o json` has them all. */
const MOST_NAMES = 10;

/** What is alike, together. The good ones first, the many before the few: what stands out is next to the prompt. */
export function equalResults(
  results: ReadonlyMap<string, string>,
  outputs: ReadonlyMap<string, readonly string[]>,
): EqualResults[] {
  const groups = new Map<string, EqualResults>();
  for (const [node, result] of [...results].sort(([a], [b]) => byName(a, b))) {
    const output = outputs.get(node) ?? [];
    const key = JSON.stringify([result, output]);
    const group = groups.get(key) ?? { result, nodes: [], output: [...output] };
    group.nodes.push(node);
    groups.set(key, group);
  }
  const rank = ({ result }: EqualResults): number => (isGood(result) ? 0 : 1);
  return [...groups.values()].sort((a, b) => rank(a) - rank(b) || b.nodes.length - a.nodes.length);
}

/** A head with the nodes, then once what they wrote. */
export function groupLines(groups: readonly EqualResults[], colors: Colors): string[] {
  return groups.flatMap(({ result, nodes, output }, at) => {
    const ended = isGood(result) ? colors.green(result) : colors.red(result);
    const head = `${count(nodes.length, 'node')}, ${ended}: ${colors.cyan(names(nodes.map(clean), MOST_NAMES))}`;
    return [...(at > 0 ? [''] : []), head, ...output.map((text) => `  ${clean(text)}`)];
  });
}
