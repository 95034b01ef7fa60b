import { z } from 'zod';
import type { Json } from '../../../shared/share.ts';
import type { NodeView } from '../../views/types.ts';
import { clean } from './text.ts';

/** What a node found in a network. */
export interface Scan {
  /** Who looked. */
  from: string;
  network: string;
  found: {
    address: string;
    ports: number[];
    /** The node that has joined from there. */
    node?: string;
  }[];
}

const Output = z.object({ open: z.array(z.object({ address: z.string(), port: z.number() })) });

/** `output`: of the step; not understood, nothing was found. */
export function scanOf(from: string, network: string, output: Json | undefined, nodes: readonly NodeView[]): Scan {
  const parsed = Output.safeParse(output);
  const open = parsed.success ? parsed.data.open : [];
  const byAddress = Map.groupBy(open, ({ address }) => address);
  const joined = new Map(nodes.filter(({ revoked }) => !revoked).map(({ name, address }) => [address, name]));
  const found = [...byAddress].map(([address, list]) => {
    const node = joined.get(address);
    return { address, ports: list.map(({ port }) => port), ...(node === undefined ? {} : { node }) };
  });
  return { from, network, found };
}

/** As hosts of an inventory, with names to be chosen better; those that have joined as comments. */
export function scanLines({ from, network, found }: Scan): string[] {
  if (found.length === 0) return [`# ${clean(from)} finds nobody in ${network}.`];
  return [
    `# In ${network}, as ${clean(from)} sees it. Give the hosts better names.`,
    'hosts:',
    ...found.map(({ address, ports, node }) => {
      const where = `{ address: ${/:/.test(address) ? `"${address}"` : address} }  # ${ports.join(', ')}`;
      return node === undefined
        ? `  host-${address.replace(/[.:]+/g, '-')}: ${where}`
        : `  # ${clean(node)}: ${where}, has joined`;
    }),
  ];
}
