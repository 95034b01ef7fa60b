import { Command } from 'commander';
import type { Cli } from '../cli.ts';
import { type Format, withOutput } from '../options.ts';
import { wakeController } from '../wake.ts';

export function cancelCommand(cli: Cli): Command {
  const command = withOutput(new Command('cancel'))
    .description('Cancel a run: commands at work are stopped, nothing new begins')
    .argument('<run>', 'its id, the beginning of it or of its last part, or `last`')
    .option('--force', 'stop also a step that holds a permit, in the middle of its work')
    .addHelpText(
      'after',
      `
A step that holds a permit (a member of etcd that is being changed) finishes first, unless --force. A node that is away
is told when it is back; until then it shows as \`cancel undelivered\`.

Examples:
  kk-controller cancel last
  kk-controller cancel 7f3a && kk-controller logs 7f3a -f`,
    );
  return cli.action(command, async (id: string, options: { output: Format; force?: boolean }) => {
    await wakeController(cli);
    const run = await cli.client.run(id);
    await cli.client.cancel(run.id, { force: options.force ?? false, by: cli.parts.settings.user });
    cli.show(options.output, { run: run.id }, () => [
      `run ${run.id} is asked to cancel. Watch it with: kk-controller logs ${run.id} -f`,
    ]);
    return 0;
  });
}
