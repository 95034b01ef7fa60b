import { Command } from 'commander';
import { parse } from 'yaml';
import { clusterDefaultsText } from '../../cluster/index.ts';
import { builtinDefaults, defaultsOf, isOfCluster, loadSources, planJsonSchema } from '../../plan/index.ts';
import type { Cli } from '../cli.ts';
import { each, type Format, withOutput } from '../options.ts';
import { count } from '../output/text.ts';
import { checkPlan, type PlanOptions } from '../plan-file.ts';
import { withPlanOptions } from '../plan-options.ts';

export function configCommand(cli: Cli): Command {
  const group = new Command('config')
    .description('The schema of plans, the defaults of roles, and whether a plan is valid')
    .addHelpText(
      'after',
      `
Examples:
  kk-controller config defaults > my-config.yaml
  kk-controller config validate plan.yaml
  kk-controller config schema > plan.schema.json`,
    );
  for (const command of [validate(cli), defaults(cli), schema(cli)]) group.addCommand(command);
  return group;
}

function validate(cli: Cli): Command {
  const command = withOutput(withPlanOptions(new Command('validate')))
    .description('Check a plan and everything it refers to; ends with 1 when anything is wrong')
    .addHelpText(
      'after',
      `
Needs no controller and no node. All problems are told at once, each with its place and what to do; with -o json they go to
standard error as {"problems": […]}.

Examples:
  kk-controller config validate plan.yaml
  kk-controller config validate plan.yaml --set etcd.data_dir=/data -o json`,
    );
  return cli.action(command, async (file: string, options: PlanOptions & { output: Format }) => {
    const { plan, graph } = await checkPlan(cli, file, options);
    const { name, inventory } = plan;
    const found = {
      valid: true,
      name,
      nodes: inventory.nodes.length,
      plays: graph.plays.length,
      tasks: graph.tasks.length,
    };
    cli.show(options.output, found, () => [
      `${file} is valid: ${count(found.nodes, 'node')}, ${count(found.plays, 'play')}, ${count(found.tasks, 'task')}.`,
    ]);
    return 0;
  });
}

function defaults(cli: Cli): Command {
  const command = withOutput(new Command('defaults'))
    .description(
      'Print what can be set under spec.config, with the values it has otherwise: of a cluster, and of roles',
    )
    .argument('[plan.yaml]', 'of the roles of this plan; otherwise of all that are built in')
    .option('--playbook-path <folder>', 'a folder of playbooks and roles to look in first; may be repeated', each)
    .addHelpText(
      'after',
      `
First the settings of a cluster, then those of roles as they are written there, comments included: one document a role. Copy what you change to spec.config of a plan; maps are
merged, so a single number is enough.

Examples:
  kk-controller config defaults
  kk-controller config defaults plan.yaml --playbook-path ./playbooks
  kk-controller config defaults -o json | jq '.precheck.precheck'`,
    );
  return cli.action(command, async (file: string | undefined, options: { output: Format; playbookPath?: string[] }) => {
    const { playbookPath = [] } = options;
    const sources = file === undefined ? undefined : await loadSources(file, { playbookPath });
    const found = sources ? defaultsOf(sources) : await builtinDefaults();
    const cluster = !sources || isOfCluster(sources) ? clusterDefaultsText() : undefined;
    const byRole = {
      ...(cluster === undefined ? {} : { cluster: parse(cluster) as unknown }),
      ...Object.fromEntries(found.map(({ role, text }) => [role, parse(text) as unknown])),
    };
    cli.show(options.output, byRole, () => {
      if (found.length === 0 && cluster === undefined) return ['# The roles of this plan have no defaults.'];
      const first =
        cluster === undefined ? [] : ['---', '# A cluster (playbooks that say config: cluster)', cluster.trimEnd()];
      const roles = found.flatMap(({ role, file: from, text }) => [
        '---',
        `# Role ${role}, from ${from}`,
        text.trimEnd(),
      ]);
      return [...first, ...roles];
    });
    return 0;
  });
}

function schema(cli: Cli): Command {
  const command = withOutput(new Command('schema'))
    .description('Print the JSON Schema of plans, inventories and playbooks, for editors')
    .addHelpText(
      'after',
      `
Its $defs hold the other documents: inventory, playbook, tasks, defaults; and cluster, the settings of one.

Examples:
  kk-controller config schema > plan.schema.json
  kk-controller config schema | jq '."$defs".inventory'`,
    );
  return cli.action(command, async ({ output: format }: { output: Format }) => {
    // There is no table of a schema: JSON is its only text that people know.
    cli.show(format === 'table' ? 'json' : format, planJsonSchema(), () => []);
    return 0;
  });
}
