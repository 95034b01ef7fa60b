import { Command } from 'commander';
import { KkError } from '../../../shared/errors.ts';
import type { Cli } from '../cli.ts';
import { withOutput } from '../options.ts';
import { checkPlan } from '../plan-file.ts';
import { withPlanOptions } from '../plan-options.ts';
import { type StartOptions, startRun } from '../start-run.ts';

export function precheckCommand(cli: Cli): Command {
  const command = withOutput(withPlanOptions(new Command('precheck')))
    .description('Run the prechecks of a plan and nothing else')
    .addHelpText(
      'after',
      `
Changes nothing but what a check itself needs (such as fio). Ends with 2 when a check fails.

Examples:
  kk-controller precheck plan.yaml
  kk-controller precheck plan.yaml -o json | jq 'select(.type == "finished") | .run.verdicts'`,
    );
  return cli.action(command, async (file: string, given: StartOptions) => {
    const options = { ...given, prechecksOnly: true };
    const checked = await checkPlan(cli, file, options);
    if (checked.graph.tasks.length === 0) {
      throw new KkError({
        code: 'PLAN_NO_PRECHECKS',
        message: `No playbook of ${file} has a precheck play.`,
        remedy: 'Add `precheck` to spec.playbooks, or `precheck: true` to a play of your own.',
      });
    }
    return startRun(cli, checked, options);
  });
}
