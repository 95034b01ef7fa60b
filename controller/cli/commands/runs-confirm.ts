import { Command } from 'commander';
import type { Cli } from '../cli.ts';
import { type Format, withOutput } from '../options.ts';
import { wakeController } from '../wake.ts';

interface Options {
  output: Format;
  refuse?: boolean;
  task?: string;
  node?: string;
}

export function confirmCommand(cli: Cli): Command {
  const command = withOutput(new Command('confirm'))
    .description('Say yes to what a run waits for')
    .argument('<run>', 'its id, the beginning of it or of its last part, or `last`')
    .option('--refuse', 'say no: the step fails, and nothing that comes after it is begun')
    .option('--task <task>', 'only this one, by its key; default: all that the run waits for now')
    .option('--node <node>', 'only what is asked for this node; default: for all of them')
    .addHelpText(
      'after',
      `
Examples:
  kk-controller runs confirm last
  kk-controller runs confirm 7f3a --refuse`,
    );
  return cli.action(command, async (id: string, options: Options) => {
    await wakeController(cli);
    const run = await cli.client.run(id);
    const yes = options.refuse !== true;
    const { task, node } = options;
    const only = { ...(task === undefined ? {} : { task }), ...(node === undefined ? {} : { node }) };
    await cli.client.confirm(run.id, { yes, by: cli.parts.settings.user, ...only });
    const asked = run.asks.filter((one) => one.task === (task ?? one.task) && one.node === (node ?? one.node));
    const what = asked.map(({ message }) => message).join(' ');
    cli.show(options.output, { run: run.id, yes }, () => [`${yes ? 'Confirmed' : 'Refused'}: ${what}`]);
    return 0;
  });
}
