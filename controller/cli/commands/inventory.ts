import { Command } from 'commander';
import { stringify } from 'yaml';
import { KkErrors } from '../../../shared/errors.ts';
import { type InventoryFile, loadSources, parseInventory } from '../../plan/index.ts';
import type { Cli } from '../cli.ts';
import { type Format, withOutput } from '../options.ts';
import { inventoryRows } from '../output/inventory-text.ts';
import { scanCommand } from './inventory-scan.ts';

export function inventoryCommand(cli: Cli): Command {
  const group = new Command('inventory').description('Look at inventories, write them out, make them').addHelpText(
    'after',
    `
Examples:
  kk-controller inventory show plan.yaml
  kk-controller inventory expand inventory.yaml
  kk-controller inventory from-csv nodes.csv > inventory.yaml
  kk-controller inventory scan 10.0.0.0/24`,
  );
  for (const command of [show(cli), expand(cli), fromCsv(cli), scanCommand(cli)]) group.addCommand(command);
  return group;
}

function show(cli: Cli): Command {
  const command = withOutput(new Command('show'))
    .description('Show the hosts of a plan or an inventory, with their groups and how ssh reaches them')
    .argument('<file>', 'a plan, an inventory, or a table of hosts (.csv)')
    .addHelpText(
      'after',
      `
-o json and -o yaml have groups and variables whole.

Examples:
  kk-controller inventory show plan.yaml
  kk-controller inventory show nodes.csv -o json | jq -r '.groups.worker.nodes[]'`,
    );
  return cli.action(command, async (file: string, { output: format }: { output: Format }) => {
    const { inventory } = await readFile(cli, file);
    const { groups, vars } = inventory;
    const nodes = inventory.nodes.map(({ at: _, ...node }) => node);
    cli.show(format, { nodes, groups, vars }, () => inventoryRows(inventory));
    return 0;
  });
}

function expand(cli: Cli): Command {
  const command = withOutput(new Command('expand'))
    .description('Print an inventory with every host written out: no ranges, no table')
    .argument('<file>', 'a plan, an inventory, or a table of hosts (.csv)')
    .addHelpText(
      'after',
      `
Paths in it are still relative to the file they come from.

Examples:
  kk-controller inventory expand inventory.yaml
  kk-controller inventory expand plan.yaml -o json | jq '.hosts | length'`,
    );
  return cli.action(command, (file: string, { output: format }: { output: Format }) => print(cli, file, format));
}

function fromCsv(cli: Cli): Command {
  const command = withOutput(new Command('from-csv'))
    .description('Make an inventory of a table of hosts')
    .argument('<file.csv>', 'columns: name, address, groups, ssh.user, ssh.port …, and vars.<name>')
    .addHelpText(
      'after',
      `
Only name and address must be there; several groups are divided by blanks. A plan can also name the table itself
(spec.inventory: {csv: nodes.csv}).

Examples:
  kk-controller inventory from-csv nodes.csv > inventory.yaml`,
    );
  return cli.action(command, (file: string, { output: format }: { output: Format }) =>
    print(cli, file, format, 'table of hosts'),
  );
}

/** An inventory has no better table than the YAML that people write. */
async function print(cli: Cli, file: string, format: Format, what?: string): Promise<number> {
  const { written } = await readFile(cli, file, what);
  const document = { apiVersion: 'kk.dev/v1', kind: 'Inventory', ...(written as object) };
  cli.show(format, document, () => [stringify(document, { flowCollectionPadding: false }).trimEnd()]);
  return 0;
}

/** Throws KkErrors with everything that is wrong. */
async function readFile(cli: Cli, file: string, what = 'plan or inventory file'): Promise<InventoryFile> {
  const sources = await loadSources(file, { what });
  cli.texts = sources.texts;
  const parsed = parseInventory(sources);
  if ('problems' in parsed) throw new KkErrors(parsed.problems);
  return parsed;
}
