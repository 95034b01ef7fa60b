import type { Inventory } from '../../plan/index.ts';
import { table } from './table.ts';
import { clean, names } from './text.ts';

/** A line for each host. Of variables only the names: a value may be somebody's secret. */
export function inventoryRows({ nodes }: Inventory): string[] {
  const rows = nodes.map(({ name, address, groups, ssh, vars }) => [
    name,
    address,
    groups.filter((group) => group !== 'all').join(' ') || '-',
    ssh ? `${ssh.user}@${ssh.host}${ssh.port === 22 ? '' : `:${ssh.port}`}` : '-',
    names(Object.keys(vars)) || '-',
  ]);
  return table(
    ['node', 'address', 'groups', 'ssh', 'variables'],
    rows.map((row) => row.map(clean)),
  );
}
