import { Command } from 'commander';
import type { Cli } from '../cli.ts';
import { type Format, withOutput } from '../options.ts';
import { wakeController } from '../wake.ts';

export function pauseCommand(cli: Cli): Command {
  const command = withOutput(new Command('pause'))
    .description('Pause a run: what is at work ends, nothing new begins')
    .argument('<run>', 'its id, the beginning of it or of its last part, or `last`')
    .addHelpText(
      'after',
      `
The run keeps its nodes. It goes on with \`resume\`, also after a restart of the controller.

Examples:
  kk-controller pause last
  kk-controller pause 7f3a && kk-controller logs 7f3a`,
    );
  return cli.action(command, async (id: string, options: { output: Format }) => {
    await wakeController(cli);
    const run = await cli.client.run(id);
    await cli.client.pause(run.id, { by: cli.parts.settings.user });
    cli.show(options.output, { run: run.id }, () => [
      `run ${run.id} is paused. It goes on with: kk-controller resume ${run.id}`,
    ]);
    return 0;
  });
}
