import { Command, InvalidArgumentError, Option } from 'commander';
import type { CertsRenewOptions } from './commands/certs.ts';
import { fallback, SETTINGS } from './config/settings.ts';
import { VERSION } from './config/version.ts';

export interface CliOptions {
  /** How a command's wrapper is started. */
  wrapper: readonly [string, ...string[]];
  exit: (code: number) => never;
}

type StateOptions = { state: string };

const DAY_MS = 86_400_000;
const UNIT_MS: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: DAY_MS };

function durationMs(text: string): number {
  const [, amount, unit = ''] = /^(\d+)([smhd])$/.exec(text) ?? [];
  const factor = UNIT_MS[unit];
  if (factor === undefined) throw new InvalidArgumentError('Write a duration such as 12h or 30d.');
  return Number(amount) * factor;
}

/** The commands of `kk-agent`. */
export function cli({ wrapper, exit }: CliOptions): Command {
  const state = (): Option => new Option(SETTINGS.state.flag, SETTINGS.state.about).default(fallback('state'));
  const program = new Command('kk-agent').description("kk's agent: does a node's part of a run").version(VERSION);
  program
    .command('run')
    .description('connect to the controller and work until stopped (what the systemd unit does)')
    .addOption(state())
    .addOption(
      new Option(SETTINGS.logLevel.flag, SETTINGS.logLevel.about)
        .choices(['debug', 'info', 'warn', 'error'])
        .default(fallback('logLevel')),
    )
    .addOption(new Option(SETTINGS.cache.flag, SETTINGS.cache.about).default(fallback('cache')))
    .addOption(new Option(SETTINGS.bandwidth.flag, SETTINGS.bandwidth.about).default(fallback('bandwidth')))
    .addOption(
      new Option(SETTINGS.standby.flag, SETTINGS.standby.about).choices(['on', 'off']).default(fallback('standby')),
    )
    .action(async (options: StateOptions & { logLevel: string; cache: string; bandwidth: string; standby: string }) => {
      const { runAgent } = await import('./commands/run.ts');
      await runAgent({ ...options, wrapper, exit });
    });
  program
    .command('join')
    .description('make this machine a node: get an identity with a join token (read from stdin)')
    .requiredOption('--endpoint <url...>', 'where the controller is: https://host:port, best first')
    .requiredOption('--name <name>', 'name of the node in the inventory')
    .addOption(state())
    .action(async (options: StateOptions & { endpoint: string[]; name: string }) => {
      const { join } = await import('./commands/join.ts');
      await join(options);
    });
  program
    .command('install')
    .description('make this machine a node and the agent a service of it (what join.sh and bootstrap call)')
    .requiredOption('--name <name>', 'name of the node in the inventory')
    .option('--endpoint <url...>', 'where the controller is: https://host:port, best first', [])
    .option('--token-stdin', 'read the join token from stdin')
    .option('--rejoin', 'join again even if this machine is a node already')
    .option('--replace', 'join again if this machine is that node already')
    .action(async (options: { name: string; endpoint: string[]; tokenStdin?: true; rejoin?: true; replace?: true }) => {
      const { install } = await import('./commands/install.ts');
      await install({ ...options, wrapper });
    });
  program
    .command('renew')
    .description("renew this node's certificate if half of its life is over")
    .option('--now', 'renew it whatever its age')
    .addOption(state())
    .action(async (options: StateOptions & { now?: true }) => {
      const { renew } = await import('./commands/renew.ts');
      await renew(options);
    });
  program
    .command('status')
    .description('who this node is, and whether it is connected')
    .addOption(state())
    .action(async (options: StateOptions) => {
      const { status } = await import('./commands/status.ts');
      await status(options);
    });
  const kubeletDir = (): Option =>
    new Option('--kubelet-dir <folder>', 'root folder of the kubelet').default('/var/lib/kubelet');
  const certs = program.command('certs').description('certificates of the cluster on this node');
  certs
    .command('list')
    .description('each with its end, and what became of the last renewal')
    .addOption(new Option('-o, --output <format>', 'how to print').choices(['table', 'json']).default('table'))
    .addOption(kubeletDir())
    .addOption(state())
    .action(async (options: StateOptions & { output: string; kubeletDir: string }) => {
      const { listCerts } = await import('./commands/certs.ts');
      await listCerts(options);
    });
  certs
    .command('renew')
    .description("renew kubeadm's when the first of them is about to end (what kk-certs-renew.service does)")
    .option('--renew-before <duration>', 'when less than this is left: 12h, 30d', durationMs, 30 * DAY_MS)
    .option('--now', 'whatever is left')
    .option('--in-run', 'as a step of a run: do not wait for it to end')
    .addOption(new Option('--bin-dir <folder>', 'where kubeadm and kubectl are').default('/usr/local/bin'))
    .addOption(kubeletDir())
    .addOption(state())
    .action(async (options: CertsRenewOptions) => {
      const { renewCerts } = await import('./commands/certs.ts');
      await renewCerts(options);
    });
  program
    .command('uninstall')
    .description('take the agent off this machine; what plans have made stays')
    .option('--yes', 'do it')
    .action(async (options: { yes?: true }) => {
      const { uninstall } = await import('./commands/uninstall.ts');
      await uninstall({ ...options, wrapper });
    });
  program
    .command('guard-upgrade', { hidden: true })
    .description('watch over an upgrade (what kk-agent-upgrade.service does)')
    .addOption(state())
    .action(async (options: StateOptions) => {
      const { guard } = await import('./commands/guard-upgrade.ts');
      await guard({ ...options, wrapper });
    });
  program
    .command('version')
    .description('print the version')
    .action(() => {
      process.stdout.write(`${VERSION}\n`);
    });
  program
    .command('run-command <folder>', { hidden: true })
    .description('run one command of a plan (the agent calls this)');
  return program;
}
