import { Command } from 'commander';
import { EXIT_CODE } from '../../../shared/lifecycle.ts';
import { CertificatesWatcher } from '../certs-watch.ts';
import type { Cli } from '../cli.ts';
import { followRun } from '../follow.ts';
import { durationOption, type Format, withOutput } from '../options.ts';
import { certificateRows } from '../output/certs-text.ts';
import { checkPlan, type PlanVariables, readPlan } from '../plan-file.ts';
import { withPlanOptions, withPlanVariables } from '../plan-options.ts';
import { tellWithoutFacts } from '../selector.ts';
import { type StartOptions, startRun } from '../start-run.ts';
import { reviveController, wakeController } from '../wake.ts';

/** A node that does not answer costs so long and no more. */
const LIST_SECONDS = 60;

export function certsCommand(cli: Cli): Command {
  return new Command('certs')
    .description('The certificates of a cluster: when they end, and new ones')
    .addCommand(checkCommand(cli))
    .addCommand(renewCommand(cli));
}

function checkCommand(cli: Cli): Command {
  const command = withOutput(withPlanVariables(new Command('check-expiration').argument('[plan.yaml]', 'the plan')))
    .description('List every certificate on the nodes with its end, and who renews it')
    .addOption(durationOption('--warn <duration>', 'end with 3 when one has less than this left', '0'))
    .addHelpText(
      'after',
      `
With a plan its nodes are asked, else all that have joined. Beside a certificate stands who renews it: the timer on its control
plane, the kubelet, the agent, or a run (kk-controller certs renew). What the timers did last is told below.

Examples:
  kk-controller certs check-expiration plan.yaml
  kk-controller certs check-expiration --warn 14d
  kk-controller certs check-expiration plan.yaml -o json | jq -r '.[].certificates[] | select(.keeper == "run") | .path'`,
    );
  type Options = PlanVariables & { output: Format; warn: number };
  return cli.action(command, async (file: string | undefined, options: Options) => {
    const selector = file === undefined ? ['all'] : await nodesOf(cli, file, options);
    await wakeController(cli);
    const argv: [string, ...string[]] = ['kk-agent', 'certs', 'list', '-o', 'json'];
    const asked = { selector, argv, timeoutSeconds: LIST_SECONDS, by: cli.parts.settings.user };
    const { run, withoutFacts } = await cli.client.exec(asked);
    tellWithoutFacts(cli, withoutFacts);
    const watcher = new CertificatesWatcher((text) => cli.note(text));
    const code = await followRun(cli, { run, logs: false, watcher, revive: () => reviveController(cli) });
    const { told } = watcher;
    const now = cli.parts.now();
    for (const line of watcher.silent) cli.note(line);
    cli.show(options.output, told, () => certificateRows(told, now, cli.colors));
    // The agent's lives for a week only, and is renewed half-way: that is as it should be.
    const watched = told.flatMap(({ certificates }) => certificates.filter(({ keeper }) => keeper !== 'agent'));
    const isDue = watched.some(({ not_after_ms }) => not_after_ms - now < options.warn * 1000);
    return code === EXIT_CODE.done && isDue ? EXIT_CODE.failed : code;
  });
}

async function nodesOf(cli: Cli, file: string, options: PlanVariables): Promise<string[]> {
  // Not with the plan's own playbooks: for them the digests of what they fetch would be asked.
  const { plan } = await readPlan(cli, file, { ...options, playbooks: ['certs-renew'] });
  return plan.inventory.nodes.map(({ name }) => name);
}

function renewCommand(cli: Cli): Command {
  const command = withOutput(withPlanOptions(new Command('renew')))
    .description('Renew the certificates of etcd and of all control planes, one machine after the other')
    .addHelpText(
      'after',
      `
Whatever is left of them. Keys of etcd stay on their nodes and are kept; the next member gets its certificates when all are in
step, the next control plane when the one before is ready. The timers of the control planes wait meanwhile.

Examples:
  kk-controller certs renew plan.yaml
  kk-controller certs renew plan.yaml && kk-controller certs check-expiration plan.yaml`,
    );
  return cli.action(command, async (file: string, given: StartOptions) => {
    const options = { ...given, playbooks: ['certs-renew'] };
    return startRun(cli, await checkPlan(cli, file, options), options);
  });
}
