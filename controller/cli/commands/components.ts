import { Command } from 'commander';
import type { Vars } from '../../../shared/share.ts';
import type { Cli } from '../cli.ts';
import { type Format, withOutput } from '../options.ts';
import { componentRows, componentViews } from '../output/components-text.ts';
import { readPlan } from '../plan-file.ts';
import { withPlanVariables } from '../plan-options.ts';

interface Options {
  output: Format;
  set?: Vars;
  playbookPath?: string[];
  update?: boolean;
}

export function componentsCommand(cli: Cli): Command {
  const command = withOutput(withPlanVariables(new Command('components').argument('<plan.yaml>', 'the plan')))
    .description('Show what a plan fetches: version, architecture, sha256 and what states it, address')
    .option('--update', 'ask for every sha256 anew, and write the lock file of what the plan needs now')
    .addHelpText(
      'after',
      `
Needs no controller and no node. A sha256 that neither the configuration nor the lock file beside the plan nor
components.yaml states is asked where it is published, and written into the lock file (plan.yaml has plan.lock.yaml);
apply and plan do the same. With --update one that has changed since is an error, and the file stays as it is.

Examples:
  kk-controller components cluster.yaml
  kk-controller components cluster.yaml --set kubernetes.version=v1.34.1 --update
  kk-controller components cluster.yaml -o json | jq -r '.[].urls[0]'`,
    );
  return cli.action(command, async (file: string, { output, update = false, ...options }: Options) => {
    const { plan } = await readPlan(cli, file, options, update);
    const views = componentViews(plan.components?.files ?? []);
    cli.show(output, views, () => componentRows(views));
    return 0;
  });
}
