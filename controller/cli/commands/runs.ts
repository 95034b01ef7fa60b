import { Command } from 'commander';
import type { Cli } from '../cli.ts';
import { type Format, wholeNumber, withOutput } from '../options.ts';
import { runRows } from '../output/runs-text.ts';
import { wakeController } from '../wake.ts';

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
    );
  return cli.action(command, async (options: { output: Format; limit: number }) => {
    await wakeController(cli);
    const runs = await cli.client.runs(options.limit);
    cli.show(options.output, runs, () => {
      if (runs.length === 0) return ['No runs yet. Start one with: kk-controller apply plan.yaml'];
      return runRows(runs, cli.parts.now(), cli.colors);
    });
    return 0;
  });
}
