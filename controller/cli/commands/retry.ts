import { Command } from 'commander';
import { KkError } from '../../../shared/errors.ts';
import type { Cli } from '../cli.ts';
import { eachOfList, withOutput } from '../options.ts';
import { type FollowStyle, followRevised } from '../start-run.ts';
import { wakeController } from '../wake.ts';

interface Options extends FollowStyle {
  failed?: boolean;
  node?: string[];
  task?: string[];
}

export function retryCommand(cli: Cli): Command {
  const command = withOutput(new Command('retry'))
    .description('Try again what failed in a run, and follow it; what is done stays done')
    .argument('[run]', 'its id, the beginning of it or of its last part, or `last`', 'last')
    .option('--failed', 'everything that failed, was interrupted or blocked (the default)')
    .option('--node <nodes>', 'only on these nodes', eachOfList)
    .option('--task <tasks>', 'these tasks, also where they ended well, and what they blocked', eachOfList)
    .option('--diff', 'show every diff of the report whole')
    .option('--detach', 'start it and return at once')
    .addHelpText(
      'after',
      `
A task is named by its key or an end of it. With a mended plan: \`apply --resume\`.

Examples:
  kk-controller retry
  kk-controller retry last --node worker7,worker9
  kk-controller retry 7f3a --task kubeadm/join --detach`,
    );
  return cli.action(command, async (id: string, options: Options) => {
    const { failed, node: nodes = [], task: tasks = [] } = options;
    if (failed && tasks.length > 0) {
      throw new KkError({
        code: 'USAGE',
        message: '--failed and --task exclude each other.',
        remedy: 'Leave one of them out; --node goes with both.',
      });
    }
    await wakeController(cli);
    const revised = await cli.client.retry(id, { nodes, tasks, by: cli.parts.settings.user });
    return followRevised(cli, revised, options);
  });
}
