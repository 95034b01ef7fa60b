import type { NodeView } from '../../views/types.ts';
import { type Colors, painted } from './colors.ts';
import { table } from './table.ts';
import { age, clean, count } from './text.ts';

export function nodeRows(nodes: readonly NodeView[], nowMs: number, colors: Colors): string[] {
  const rows = nodes.map((node) => [
    clean(node.name),
    painted(stateOf(node), colors),
    clean(node.address ?? '-'),
    clean(node.arch),
    clean(node.version),
    node.connected ? 'now' : age(node.lastSeen, nowMs),
    age(node.joined || undefined, nowMs),
    node.certificateEnds.slice(0, 10) || '-',
    node.pending ? whoWaits(node.pending) : (node.held ?? ''),
  ]);
  return table(['node', 'state', 'address', 'arch', 'version', 'seen', 'age', 'certificate', 'held for'], rows);
}

/** What a person compares before letting a machine in. */
function whoWaits({ fingerprint, machine }: NonNullable<NodeView['pending']>): string {
  if (machine === undefined) return fingerprint;
  const { hostname, os, cpus, memory } = machine;
  return clean(`${fingerprint} ${hostname}, ${os}, ${count(cpus, 'CPU')}, ${Math.round(memory / 2 ** 30)} GiB`);
}

function stateOf(node: NodeView): string {
  if (node.pending) return node.pending.state;
  if (node.revoked) return 'revoked';
  if (node.held !== undefined) return 'held';
  return node.connected ? 'connected' : 'away';
}
