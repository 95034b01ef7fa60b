import { Command } from 'commander';
import { KkError } from '../../../shared/errors.ts';
import type { Cli } from '../cli.ts';
import { eachOfList, withOutput } from '../options.ts';
import { checkPlan } from '../plan-file.ts';
import { withPlanOptions } from '../plan-options.ts';
import { sendFiles } from '../send-files.ts';
import { applyOptions, followRevised, type StartOptions, startRun } from '../start-run.ts';
import { startController } from '../wake.ts';

interface Options extends StartOptions {
  /** True: without the name of a run. */
  resume?: string | true;
  rerun?: string[];
}

export function applyCommand(cli: Cli): Command {
  const command = withOutput(withPlanOptions(new Command('apply'), '[plan.yaml]'))
    .description('Do what a plan says, and follow it until it is done')
    .option('--skip-prechecks', 'go ahead without looking at the nodes first')
    .option('--check', 'a dry run: tell what would change, and change nothing')
    .option('--resume [run]', "go on with a run that failed or was cancelled (default: the plan's last one)")
    .option('--rerun <tasks>', 'with --resume: tasks that run again although they were done', eachOfList)
    .option('--auto-rollback', 'when the run fails, undo what it did')
    .option('--wait', 'queue behind a run that holds a node of the plan (the default)')
    .option('--no-wait', 'refuse instead of queueing')
    .option('--diff', 'show every diff of the report whole')
    .option('--detach', 'start it and return at once')
    .option('--yes', 'say yes to whatever the plan asks to be confirmed')
    .addHelpText(
      'after',
      `
Starts a controller when none runs on the state folder; it ends when it has nothing left to do.
Ctrl-C cancels the run; a second one leaves it to the controller. A terminal that goes away stops nothing.

With --resume the plan may have been mended: what was done with the same inputs is kept, and what runs again is listed
first. A task that was done with other inputs and cannot be repeated safely runs only with --rerun.

Examples:
  kk-controller apply plan.yaml
  kk-controller apply plan.yaml --check --diff
  kk-controller apply plan.yaml --phase etcd
  kk-controller apply plan.yaml --set kube_version=v1.34.1 --tags etcd
  kk-controller apply --resume last plan.yaml --rerun etcd/init
  kk-controller apply plan.yaml --detach && kk-controller logs last -f
  kk-controller apply plan.yaml -o json | jq -r 'select(.type == "ended" and .changed) | .node + " " + .task'`,
    );
  return cli.action(command, async (given: string | undefined, options: Options) => {
    const { file, resume } = argumentsOf(given, options.resume);
    if (resume === undefined) {
      if (options.check && options.autoRollback)
        throw usage('--check and --auto-rollback exclude each other.', 'A dry run changes nothing.');
      if (options.yes && options.detach)
        throw usage(
          '--yes and --detach exclude each other.',
          'Say yes when it asks: `kk-controller runs confirm last`.',
        );
      if (options.rerun) throw usage('--rerun is for --resume.', 'Name a run to go on with: --resume last.');
      return startRun(cli, await checkPlan(cli, file, options), options);
    }
    if (options.autoRollback)
      throw usage(
        '--auto-rollback and --resume exclude each other.',
        'Roll the run back with `kk-controller rollback`.',
      );
    if (options.check) throw usage('--check and --resume exclude each other.', 'A dry run needs no earlier run.');
    const checked = await checkPlan(cli, file, options);
    await startController(cli);
    await sendFiles(cli.client, checked);
    const wish = { ...applyOptions(cli, options), autoRollback: false as const, rerun: options.rerun ?? [] };
    const named = resume === true ? wish : { ...wish, run: resume };
    return followRevised(cli, await cli.client.resume({ sources: checked.sources, options: named }), options);
  });
}

/** `--resume plan.yaml` names the plan, not a run: a value of its own is optional. */
function argumentsOf(
  given: string | undefined,
  resume: string | true | undefined,
): { file: string; resume: string | true | undefined } {
  if (given !== undefined) return { file: given, resume };
  if (typeof resume === 'string' && /^(last|[\da-f-]+)$/.test(resume))
    throw usage(
      'A resume wants the plan, also when it is as it was.',
      `Use \`kk-controller apply --resume ${resume} plan.yaml\`, or try the plan of the run again: \`kk-controller retry ${resume}\`.`,
    );
  if (typeof resume === 'string') return { file: resume, resume: true };
  throw usage("Missing required argument 'plan.yaml'.", 'See `kk-controller apply --help`.');
}

function usage(message: string, remedy: string): KkError {
  return new KkError({ code: 'USAGE', message, remedy });
}
