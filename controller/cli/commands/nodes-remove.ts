import { Command } from 'commander';
import type { Cli } from '../cli.ts';
import { type Format, withOutput } from '../options.ts';
import { clean } from '../output/text.ts';
import { wakeController } from '../wake.ts';

export function nodesRemoveCommand(cli: Cli): Command {
  const command = withOutput(new Command('remove'))
    .description('Take the agent off a node, and forget the node')
    .argument('<node>', 'its name')
    .option('--force', 'also when a run is at work on it, or when it is away (then it is only forgotten)')
    .addHelpText(
      'after',
      `
Nothing of kk stays on the machine: units, executables, identity, journal and what a rollback would restore are gone, and commands
that still run there are ended. What plans have made stays. To shut a node out without touching it: kk-controller revoke.

Examples:
  kk-controller nodes remove worker7
  kk-controller nodes remove worker7 --force`,
    );
  return cli.action(command, async (name: string, options: { output: Format; force?: true }) => {
    await wakeController(cli);
    const removed = await cli.client.remove(name, { force: options.force === true, by: cli.parts.settings.user });
    cli.show(options.output, removed, () => [
      removed.uninstalled
        ? `${clean(name)} is no node any more: its agent has left.`
        : `${clean(name)} is forgotten. If the machine comes back, say on it: kk-agent uninstall --yes`,
    ]);
    return 0;
  });
}
