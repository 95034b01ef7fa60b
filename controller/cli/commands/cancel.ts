import { Command } from 'commander';
import type { Cli } from '../cli.ts';
import { type Format, withOutput } from '../options.ts';
import { wakeController } from '../wake.ts';

export function cancelCommand(cli: Cli): Command {
  const command = withOutput(new Command('cancel'))
    .description('Cancel a run: commands at work are stopped, nothing new begins')
    .argument('<run>', 'its id, the beginning of it or of its last part, or `last`')
    .addHelpText(
      'after',
      `
Examples:
  kk-controller cancel last
  kk-controller cancel 7f3a && kk-controller logs 7f3a -f`,
    );
  return cli.action(command, async (id: string, options: { output: Format }) => {
    await wakeController(cli);
    const run = await cli.client.run(id);
    await cli.client.cancel(run.id, { by: cli.parts.settings.user });
    cli.show(options.output, { run: run.id }, () => [
      `run ${run.id} is asked to cancel. Watch it with: kk-controller logs ${run.id} -f`,
    ]);
    return 0;
  });
}
