import { Command } from 'commander';
import type { Cli } from '../cli.ts';
import { withOutput } from '../options.ts';
import { checkPlan } from '../plan-file.ts';
import { withPlanVariables } from '../plan-options.ts';
import { type StartOptions, startRun } from '../start-run.ts';

export function deleteCommand(cli: Cli): Command {
  return new Command('delete').description('Take away what a plan has made').addCommand(deleteClusterCommand(cli));
}

function deleteClusterCommand(cli: Cli): Command {
  const command = withOutput(withPlanVariables(new Command('cluster').argument('<plan.yaml>', 'the plan')))
    .description('Take the cluster of a plan off its machines, and bring back what was there before')
    .option('--yes', 'do not ask')
    .addHelpText(
      'after',
      `
Applies the playbook delete-cluster to the machines of the plan; what stays is said under \`delete\` in its config. The agents
stay on the machines. Asks first, unless --yes or \`confirm: false\`; without a
terminal to ask on it is refused.

Examples:
  kk-controller delete cluster plan.yaml
  kk-controller delete cluster plan.yaml --yes --set delete.cri=true`,
    );
  return cli.action(command, async (file: string, given: StartOptions) => {
    const options = { ...given, playbooks: ['delete-cluster'] };
    return startRun(cli, await checkPlan(cli, file, options), options);
  });
}
