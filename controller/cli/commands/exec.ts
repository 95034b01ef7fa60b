import { Command } from 'commander';
import type { Cli } from '../cli.ts';
import { groupingWatcher, streamWatcher } from '../exec-watch.ts';
import { followRun, rawWatcher, type Watcher } from '../follow.ts';
import { durationOption, type Format, wholeNumber, withOutput } from '../options.ts';
import { SELECTOR_HELP, selectorOf, tellWithoutFacts } from '../selector.ts';
import { askOrWake, reviveController } from '../wake.ts';

/** Above so many nodes a person reads what is alike once, and not line by line. */
const FEW_NODES = 10;

interface ExecOptions {
  output: Format;
  timeout: number;
  forks?: number;
  /** Unstated: by the number of nodes. */
  groupByOutput?: boolean;
}

export function execCommand(cli: Cli): Command {
  const command = withOutput(new Command('exec'))
    .description('Run a command on nodes that have joined')
    .argument('<selector>', 'nodes and groups: see below')
    .argument('<command...>', 'after --: a program and its arguments; one single word is a line of shell')
    .addOption(durationOption('--timeout <duration>', 'kill it after so long; 0: never', '0'))
    .option('--forks <number>', 'on so many nodes at a time; default: on all', wholeNumber)
    .option(
      '--group-by-output',
      `what is alike is told once, at the end; so by itself for more than ${FEW_NODES} nodes`,
    )
    .option('--no-group-by-output', "each line as it is written, behind its node's name")
    .addHelpText(
      'after',
      `
${SELECTOR_HELP}
Ends with 3 when it failed on any node.

Examples:
  kk-controller exec all -- uptime
  kk-controller exec 'worker:!worker7' --timeout 30s --forks 5 -- systemctl restart containerd
  kk-controller exec '@facts.os.id == "debian"' --group-by-output -- cat /etc/debian_version
  kk-controller exec node1,node2 -- 'df -h / | tail -1'`,
    );
  return cli.action(command, async (text: string, argv: [string, ...string[]], options: ExecOptions) => {
    const selector = selectorOf(text);
    const { forks, timeout, output: format } = options;
    const by = cli.parts.settings.user;
    const asked = { selector, argv, timeoutSeconds: timeout, by, ...(forks === undefined ? {} : { forks }) };
    const { run, nodes, withoutFacts } = await askOrWake(cli, () => cli.client.exec(asked));
    tellWithoutFacts(cli, withoutFacts);
    const grouped = options.groupByOutput ?? (format === 'table' && nodes > FEW_NODES);
    const watcher = grouped ? await groupingWatcher(cli, format) : watcherOf(cli, format);
    return followRun(cli, { run, logs: !grouped, watcher, revive: () => reviveController(cli) });
  });
}

function watcherOf(cli: Cli, format: Format): Watcher {
  return format === 'table' ? streamWatcher(cli) : rawWatcher(cli, format);
}
