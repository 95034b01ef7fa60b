import { Command } from 'commander';
import type { Cli } from '../cli.ts';
import { type Format, withOutput } from '../options.ts';
import { nodeRows } from '../output/nodes-text.ts';
import { wakeController } from '../wake.ts';
import { nodesApproveCommand, nodesRejectCommand } from './nodes-approve.ts';
import { nodesRemoveCommand } from './nodes-remove.ts';
import { nodesUpgradeCommand } from './nodes-upgrade.ts';

export function nodesCommand(cli: Cli): Command {
  const command = withOutput(new Command('nodes'))
    .description('List the nodes that have joined, and the machines that wait for approval')
    .addHelpText(
      'after',
      `
Examples:
  kk-controller nodes
  kk-controller nodes -o json | jq -r '.[] | select(.connected | not) | .name'`,
    )
    .addCommand(nodesApproveCommand(cli))
    .addCommand(nodesRejectCommand(cli))
    .addCommand(nodesUpgradeCommand(cli))
    .addCommand(nodesRemoveCommand(cli));
  return cli.action(command, async (options: { output: Format }) => {
    await wakeController(cli);
    const nodes = await cli.client.nodes();
    cli.show(options.output, nodes, () => {
      if (nodes.length === 0) return ['No nodes yet. Let one join with: kk-controller join-command'];
      return nodeRows(nodes, cli.parts.now(), cli.colors);
    });
    return 0;
  });
}
