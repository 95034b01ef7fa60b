import { Command } from 'commander';
import type { Cli } from '../cli.ts';
import { withOutput } from '../options.ts';
import { checkPlan } from '../plan-file.ts';
import { withPlanOptions } from '../plan-options.ts';
import { type StartOptions, startRun } from '../start-run.ts';

export function applyCommand(cli: Cli): Command {
  const command = withOutput(withPlanOptions(new Command('apply')))
    .description('Do what a plan says, and follow it until it is done')
    .option('--skip-prechecks', 'go ahead without looking at the nodes first')
    .option('--diff', 'show every diff of the report whole')
    .option('--detach', 'start it and return at once')
    .addHelpText(
      'after',
      `
Starts a controller when none runs on the state folder; it ends when it has nothing left to do.
Ctrl-C cancels the run; a second one leaves it to the controller. A terminal that goes away stops nothing.

Examples:
  kk-controller apply plan.yaml
  kk-controller apply plan.yaml --set kube_version=v1.34.1 --tags etcd
  kk-controller apply plan.yaml --detach && kk-controller logs last -f
  kk-controller apply plan.yaml -o json | jq -r 'select(.type == "ended" and .changed) | .node + " " + .task'`,
    );
  return cli.action(command, async (file: string, options: StartOptions) =>
    startRun(cli, await checkPlan(cli, file, options), options),
  );
}
