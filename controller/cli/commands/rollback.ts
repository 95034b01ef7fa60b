import { Command } from 'commander';
import { KkError } from '../../../shared/errors.ts';
import { EXIT_CODE } from '../../../shared/lifecycle.ts';
import type { Cli } from '../cli.ts';
import { eachOfList, withOutput } from '../options.ts';
import { rollbackLines } from '../output/rollback-text.ts';
import { type FollowStyle, followStarted } from '../start-run.ts';
import { wakeController } from '../wake.ts';

interface Options extends FollowStyle {
  to?: string;
  task?: string[];
  node?: string[];
  withDependents?: boolean;
  yes?: boolean;
}

export function rollbackCommand(cli: Cli): Command {
  const command = withOutput(new Command('rollback'))
    .description('Undo what a run did, in reverse order, and follow it')
    .argument('[run]', 'its id, the beginning of it or of its last part, or `last`', 'last')
    .option('--to <task>', 'undo what depends on this task; the task itself stays')
    .option('--task <tasks>', 'undo only these tasks', eachOfList)
    .option('--node <nodes>', 'only on these nodes', eachOfList)
    .option('--with-dependents', 'undo also what depends on what is named')
    .option('--yes', 'do not ask')
    .option('--diff', 'show every diff of the report whole')
    .option('--detach', 'start it and return at once')
    .addHelpText(
      'after',
      `
Files, folders and units become what they were, as each node remembers it; a command is undone by the \`rollback:\` tasks of
its task. What cannot be undone is named before anything begins. What was changed after the run is left alone, and named.
A task is named by its key or an end of it.

Examples:
  kk-controller rollback
  kk-controller rollback 7f3a --to etcd/etcd/config
  kk-controller rollback last --node worker7 --with-dependents --yes`,
    );
  return cli.action(command, async (id: string, options: Options) => {
    const { to, task: tasks = [], node: nodes = [], withDependents = false, yes = false } = options;
    if (to !== undefined && tasks.length > 0)
      throw new KkError({ code: 'USAGE', message: '--to and --task exclude each other.', remedy: 'Give one of them.' });
    const wish = { ...(to === undefined ? {} : { to }), tasks, nodes, withDependents, by: cli.parts.settings.user };
    await wakeController(cli);
    const told = await cli.client.rollback(id, { ...wish, start: false });
    if (options.output === 'table') cli.print(rollbackLines(told));
    if (told.undoes.length === 0) {
      if (options.output !== 'table') cli.show(options.output, told, () => []);
      return EXIT_CODE.done;
    }
    if (!yes && !(await agreed(cli, `Undo this of run ${told.of}?`))) {
      cli.note('Nothing was undone.');
      return EXIT_CODE.cancelled;
    }
    const { run } = await cli.client.rollback(told.of, { ...wish, start: true });
    if (run === undefined) return EXIT_CODE.done;
    if (!options.detach) return followStarted(cli, { run }, options);
    cli.show(options.output, { ...told, run }, () => [
      `run ${run} undoes it. Watch it with: kk-controller logs ${run} -f`,
    ]);
    return EXIT_CODE.done;
  });
}

/** Throws KkError NOT_CONFIRMED where nobody can be asked. */
async function agreed(cli: Cli, question: string): Promise<boolean> {
  const { ask } = cli.parts;
  if (ask) return /^y(es)?$/i.test((await ask(`${question} [y/N] `)).trim());
  throw new KkError({
    code: 'NOT_CONFIRMED',
    message: 'There is no terminal to ask on, and this changes nodes.',
    remedy: 'Look at what would be undone, then give --yes.',
  });
}
