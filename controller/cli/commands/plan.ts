import { Command } from 'commander';
import { explain } from '../../views/explain.ts';
import type { Cli } from '../cli.ts';
import { type Format, withOutput } from '../options.ts';
import { explainLines } from '../output/explain-text.ts';
import { checkPlan, type PlanOptions } from '../plan-file.ts';
import { withPlanOptions } from '../plan-options.ts';

export function planCommand(cli: Cli): Command {
  const command = withOutput(withPlanOptions(new Command('plan')))
    .description('Show what a plan would run, where and in which order; touches nothing')
    .option('--skip-prechecks', 'as apply --skip-prechecks would')
    .addHelpText(
      'after',
      `
Needs no controller and no node. All problems of the plan are told at once. Digests of components that nothing states are
asked for and written into the lock file, see kk-controller components; where nobody can be asked, apply will do it.

Examples:
  kk-controller plan plan.yaml
  kk-controller plan plan.yaml --tags etcd
  kk-controller plan plan.yaml -o json | jq '.plays[].roles[].role'`,
    );
  return cli.action(command, async (file: string, options: PlanOptions & { output: Format }) => {
    const { graph } = await checkPlan(cli, file, { ...options, looksOnly: true });
    const view = explain(graph);
    cli.show(options.output, view, () => explainLines(view, cli.colors));
    return 0;
  });
}
