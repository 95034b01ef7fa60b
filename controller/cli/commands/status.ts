import { Command } from 'commander';
import type { Cli } from '../cli.ts';
import { type Format, withOutput } from '../options.ts';
import { heldLines, runRows } from '../output/runs-text.ts';
import { table } from '../output/table.ts';
import { age } from '../output/text.ts';

export function statusCommand(cli: Cli): Command {
  const command = withOutput(new Command('status'))
    .description('Show the running controller: where it listens, its nodes, its active runs')
    .addHelpText(
      'after',
      `
Examples:
  kk-controller status
  kk-controller status -o json | jq .nodes.connected`,
    );
  return cli.action(command, async (options: { output: Format }) => {
    const status = await cli.client.status();
    cli.show(options.output, status, () => [
      ...table(
        [],
        [
          ['controller', `${status.version}, pid ${status.pid}, up ${age(status.started, cli.parts.now())}`],
          ['state', status.stateFolder],
          ['endpoints', status.endpoints.join(' ')],
          ['nodes', `${status.nodes.connected} of ${status.nodes.known} connected`],
          ...(status.approve ? [['joins', 'each waits for `nodes approve`']] : []),
          ['fleet', `${status.fleetId}, generation ${status.generation}`],
        ],
      ),
      ...heldLines(status, cli.errColors),
      '',
      ...(status.runs.length === 0 ? ['No active runs.'] : runRows(status.runs, cli.parts.now(), cli.colors)),
    ]);
    return 0;
  });
}
