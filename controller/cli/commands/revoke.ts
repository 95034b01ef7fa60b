import { Command } from 'commander';
import type { Cli } from '../cli.ts';
import { type Format, withOutput } from '../options.ts';
import { nodeRows } from '../output/nodes-text.ts';
import { wakeController } from '../wake.ts';

export function revokeCommand(cli: Cli): Command {
  const command = withOutput(new Command('revoke'))
    .description("Refuse a node's certificate from now on and close its connection")
    .argument('<node>', 'its name')
    .addHelpText(
      'after',
      `
To let it come back, run on it the line of: kk-controller join-command --replace <node>

Examples:
  kk-controller revoke worker7`,
    );
  return cli.action(command, async (name: string, options: { output: Format }) => {
    await wakeController(cli);
    const node = await cli.client.revoke(name);
    cli.show(options.output, node, () => nodeRows([node], cli.parts.now(), cli.colors));
    return 0;
  });
}
