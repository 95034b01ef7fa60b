import { Command } from 'commander';
import type { Cli } from '../cli.ts';
import { eachOfList, withOutput } from '../options.ts';
import { type FollowStyle, followRevised } from '../start-run.ts';
import { wakeController } from '../wake.ts';

interface Options extends FollowStyle {
  reason: string;
  run: string;
  node?: string[];
}

export function skipCommand(cli: Cli): Command {
  const command = withOutput(new Command('skip'))
    .description('Take a task out of a run that failed, is paused or at work; the run goes on without it')
    .argument('<task>', "the task's key, or an end of it")
    .requiredOption('--reason <text>', 'why; the report says it')
    .option('--run <run>', 'its id, the beginning of it or of its last part, or `last`', 'last')
    .option('--node <nodes>', 'only on these nodes', eachOfList)
    .option('--diff', 'show every diff of the report whole')
    .option('--detach', 'let it go on and return at once')
    .addHelpText(
      'after',
      `
What needs the task goes on as if it had been done. \`retry --task\` takes it in again.

Examples:
  kk-controller skip nfs/mount --reason "mounted by hand"
  kk-controller skip kubeadm/join --node worker7 --reason "the machine is being replaced" --run 7f3a`,
    );
  return cli.action(command, async (task: string, options: Options) => {
    await wakeController(cli);
    const { reason, run, node: nodes = [] } = options;
    const revised = await cli.client.skip(run, { task, reason, nodes, by: cli.parts.settings.user });
    return followRevised(cli, revised, options);
  });
}
