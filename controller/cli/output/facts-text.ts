import { gib } from '../../../shared/checks/units.ts';
import type { Facts } from '../../../shared/facts.ts';
import type { FactsValues } from '../facts-path.ts';
import { table } from './table.ts';
import { age, clean } from './text.ts';

/** What a node told of itself, and when (ISO 8601). */
export interface ToldFacts {
  node: string;
  at: string;
  facts: Facts;
}

/** A line for each node with what most people look for. */
export function factsRows(told: readonly ToldFacts[], nowMs: number): string[] {
  const rows = told.map(({ node, at, facts }) => [
    node,
    `${facts.os.id} ${facts.os.version}`.trim() || '-',
    facts.kernel.release || '-',
    facts.architecture || '-',
    String(facts.cpu.count),
    gib(facts.memory.total),
    facts.swap.total > 0 ? gib(facts.swap.total) : '-',
    rootOf(facts),
    addressOf(facts),
    age(at, nowMs),
  ]);
  const head = ['node', 'os', 'kernel', 'arch', 'cpus', 'memory', 'swap', 'free on /', 'address', 'told'];
  return table(
    head,
    rows.map((row) => row.map(clean)),
  );
}

/** A column for each path. */
export function valueRows(paths: readonly string[], values: readonly FactsValues[]): string[] {
  const rows = values.map(({ node, values: of }) => [node, ...paths.map((path) => shown(of[path]))]);
  return table(
    ['node', ...paths],
    rows.map((row) => row.map((text) => clean(text).replaceAll('\n', ' '))),
  );
}

function shown(value: unknown): string {
  if (value === undefined) return '-';
  return typeof value === 'string' ? value : JSON.stringify(value);
}

/** The first address that other machines can reach. */
function addressOf({ interfaces }: Facts): string {
  const all = interfaces.filter(({ name, up }) => up && name !== 'lo').flatMap(({ addresses }) => addresses);
  const [first = '-'] = all.filter((address) => !/^(?:fe80:|169\.254\.|127\.)/.test(address));
  return first.replace(/\/\d+$/, '');
}

function rootOf({ filesystems }: Facts): string {
  const root = filesystems.find(({ mount }) => mount === '/');
  return root ? gib(root.available) : '-';
}
