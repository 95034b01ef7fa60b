import { Command } from 'commander';
import type { Cli } from '../cli.ts';
import { withOutput } from '../options.ts';
import { type FollowStyle, followStarted } from '../start-run.ts';
import { wakeController } from '../wake.ts';

export function resumeCommand(cli: Cli): Command {
  const command = withOutput(new Command('resume'))
    .description('Go on with a paused run, and follow it until it is done')
    .argument('<run>', 'its id, the beginning of it or of its last part, or `last`')
    .option('--diff', 'show every diff of the report whole')
    .option('--detach', 'let it go on and return at once')
    .addHelpText(
      'after',
      `
For a run that failed or was cancelled: \`retry\`, or \`apply --resume\` with a mended plan.

Examples:
  kk-controller resume last
  kk-controller resume 7f3a --detach`,
    );
  return cli.action(command, async (id: string, options: FollowStyle) => {
    await wakeController(cli);
    const run = await cli.client.run(id);
    await cli.client.unpause(run.id, { by: cli.parts.settings.user });
    if (!options.detach) return followStarted(cli, { run: run.id, revision: run.revision }, options);
    cli.show(options.output, { run: run.id }, () => [
      `run ${run.id} goes on. Watch it with: kk-controller logs ${run.id} -f`,
    ]);
    return 0;
  });
}
