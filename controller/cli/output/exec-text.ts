import type { Json } from '../../../shared/share.ts';
import type { StreamLine } from '../../views/types.ts';
import type { Colors } from './colors.ts';
import { clean, names } from './text.ts';

/** Cuts what a node writes into lines, each with the node's name before it. */
export class PrefixedLines {
  readonly #rest = new Map<string, { node: string; text: string }>();
  /** Where each stream goes on: the past and the live part of a run's log may overlap. */
  readonly #next = new Map<string, number>();
  /** Nodes some of whose output came as log lines. */
  readonly heard = new Set<string>();

  /** The lines that are complete now. */
  add(line: StreamLine & { type: 'log' }): { node: string; text: string }[] {
    this.heard.add(line.node);
    const key = `${line.node}\0${line.task}\0${line.stream}`;
    const next = this.#next.get(key) ?? 0;
    if (line.offset < next) return [];
    this.#next.set(key, line.offset + Buffer.byteLength(line.text));
    const before = this.#rest.get(key)?.text ?? '';
    // A node that writes faster than its link takes it leaves pieces out: said, or two halves would read as one line.
    const gap = line.offset > next ? `${before === '' ? '' : '\n'}${onlyThere(line.offset - next)}\n` : '';
    const lines = `${before}${gap}${line.text}`.split('\n');
    this.#rest.set(key, { node: line.node, text: lines.pop() ?? '' });
    return lines.map((text) => ({ node: line.node, text }));
  }

  /** Last lines without a line break, of one node or of all. */
  flush(node?: string): { node: string; text: string }[] {
    const left = [...this.#rest].filter(([, rest]) => rest.text !== '' && (node === undefined || rest.node === node));
    for (const [key] of left) this.#rest.delete(key);
    return left.map(([, rest]) => rest);
  }
}

/** What a command wrote, as its end reports it: head and tail, with a line about what is between them. */
export function outputOf(output: Json | undefined): string[] {
  const streams = output as { stdout?: Captured; stderr?: Captured } | undefined;
  return [streams?.stdout, streams?.stderr].flatMap((captured) => {
    if (!captured || captured.bytes === 0) return [];
    const { head = '', tail = '', bytes = 0 } = captured;
    const missing = bytes - Buffer.byteLength(head) - Buffer.byteLength(tail);
    const text = missing > 0 ? `${head}\n${onlyThere(missing)}\n${tail}` : head + tail;
    return text.replace(/\n$/, '').split('\n');
  });
}

function onlyThere(bytes: number): string {
  return `… ${bytes} bytes are only on the node …`;
}

interface Captured {
  head?: string;
  tail?: string;
  bytes?: number;
}

/** How it ended on one node: `exit 0`, `exit 1`, `killed by SIGKILL`, `COMMAND_TIMEOUT: …`. */
export function resultOf(line: StreamLine & { type: 'ended' }): string {
  const output = line.output as { code?: number; signal?: string } | undefined;
  if (output?.signal) return `killed by ${output.signal}`;
  if (line.outcome === 'ok' || (line.outcome === 'failed' && output?.code !== undefined))
    return `exit ${output?.code ?? 0}`;
  return line.error ? `${line.error.code}: ${reason(line.error.message)}` : line.outcome;
}

/** A message as it may stand before a colon and the nodes it is about. */
export function reason(message: string): string {
  return clean(message).replace(/\.$/, '');
}

/** Nodes that ended in the same way, together; the good ones first. */
export function resultLines(results: ReadonlyMap<string, string>, colors: Colors): string[] {
  const groups = [...Map.groupBy(results, ([, result]) => result)].sort(([a], [b]) => rank(a) - rank(b));
  return groups.map(([result, nodes]) => {
    const word = isGood(result) ? colors.green(result) : colors.red(result);
    return `${word}: ${names(nodes.map(([node]) => clean(node)).sort(byName), 10)}`;
  });
}

/** As people count: node2 before node10. Not by Intl, which takes 10 ms of CPU to load its tables. */
export function byName(a: string, b: string): number {
  const [left, right] = [parts(a), parts(b)];
  const at = left.findIndex((part, index) => part !== right[index]);
  const [one, other] = [left[at], right[at]];
  if (one === undefined || other === undefined) return left.length - right.length;
  return Number(one) - Number(other) || (one < other ? -1 : 1);
}

/** Its numbers and what is between them. */
function parts(name: string): string[] {
  return name.match(/\d+|\D+/g) ?? [];
}

export function isGood(result: string): boolean {
  return result === 'exit 0';
}

function rank(result: string): number {
  return isGood(result) ? 0 : 1;
}
