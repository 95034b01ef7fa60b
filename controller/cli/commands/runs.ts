import { Command } from 'commander';
import type { Cli } from '../cli.ts';
import { type Format, wholeNumber, withOutput } from '../options.ts';
import { heldLines, runRows } from '../output/runs-text.ts';
import { names } from '../output/text.ts';
import { wakeController } from '../wake.ts';
import { confirmCommand } from './runs-confirm.ts';

export function runsCommand(cli: Cli): Command {
  const command = withOutput(new Command('runs'))
    .description('List runs, the newest first')
    .option('--limit <number>', 'how many', wholeNumber, 20)
    .addHelpText(
      'after',
      `
Examples:
  kk-controller runs
  kk-controller runs --limit 100 -o json | jq -r '.[] | select(.status == "failed") | .id'`,
    )
    .addCommand(adoptCommand(cli))
    .addCommand(confirmCommand(cli))
    .addCommand(permitReleaseCommand(cli));
  return cli.action(command, async (options: { output: Format; limit: number }) => {
    await wakeController(cli);
    const runs = await cli.client.runs(options.limit);
    const status = options.output === 'table' ? await cli.client.status() : undefined;
    cli.show(options.output, runs, () => [
      ...(runs.length === 0
        ? ['No runs yet. Start one with: kk-controller apply plan.yaml']
        : runRows(runs, cli.parts.now(), cli.colors)),
      ...(status ? heldLines(status, cli.colors) : []),
    ]);
    return 0;
  });
}

function adoptCommand(cli: Cli): Command {
  const command = withOutput(new Command('adopt'))
    .description('Go on with runs that are held since the nodes have met a newer state of this controller')
    .argument('[run]', 'only this one; default: all, and new ones may start again')
    .addHelpText(
      'after',
      `
After a restore from a backup, agents know of work that the backup does not. Before adopting: make sure that no other
copy of this controller runs, and cancel the runs that shall not go on.

Examples:
  kk-controller runs adopt
  kk-controller runs adopt 7f3a`,
    );
  return cli.action(command, async (id: string | undefined, options: { output: Format }) => {
    await wakeController(cli);
    const runs = await cli.client.adopt({ by: cli.parts.settings.user, ...(id === undefined ? {} : { run: id }) });
    cli.show(options.output, { runs }, () => [
      runs.length === 0 ? 'Adopted. No run was at work; new ones may start.' : `Adopted: ${names(runs)}.`,
    ]);
    return 0;
  });
}

function permitReleaseCommand(cli: Cli): Command {
  const command = withOutput(new Command('permit-release'))
    .description('Free a permit that a failed step keeps, so that others may get it')
    .argument('<run>', 'its id, the beginning of it or of its last part, or `last`')
    .argument('<name>', 'of the permit, as the plan states it')
    .addHelpText(
      'after',
      `
Only when the member that failed does no more harm: the next one is disrupted at once.

Examples:
  kk-controller runs permit-release last etcd`,
    );
  return cli.action(command, async (id: string, name: string, options: { output: Format }) => {
    await wakeController(cli);
    const run = await cli.client.run(id);
    await cli.client.releasePermit(run.id, { name, by: cli.parts.settings.user });
    cli.show(options.output, { run: run.id, permit: name }, () => [`The permit ${name} of run ${run.id} is free.`]);
    return 0;
  });
}
