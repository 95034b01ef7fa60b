import { Command } from 'commander';
import { EXIT_CODE } from '../../../shared/lifecycle.ts';
import type { Cli } from '../cli.ts';
import type { UpgradeLine } from '../client.ts';
import { startLive } from '../live.ts';
import { durationOption, type Format, wholeNumber, withOutput } from '../options.ts';
import { upgradeConclusion, upgradeFrame, upgradeText } from '../output/upgrade-text.ts';
import { SELECTOR_HELP, selectorOf } from '../selector.ts';
import { wakeController } from '../wake.ts';

interface Options {
  output: Format;
  batch: number;
  limit: number;
}

export function nodesUpgradeCommand(cli: Cli): Command {
  const command = withOutput(new Command('upgrade'))
    .description("Replace the nodes' agents by the packaged one of this controller")
    .argument('[selector]', 'nodes and groups: see below (default: all)')
    .option('--batch <number>', 'how many at once; a batch in which one fails is the last', wholeNumber, 10)
    .addOption(
      durationOption('--limit <duration>', 'how long a new agent may take to connect', '60s', {
        least: '5s',
        most: '1h',
      }),
    )
    .addHelpText(
      'after',
      `
A node whose new agent does not connect within the limit goes back to the one before by itself, also when this controller is
away. Commands of a plan go on meanwhile. Agents that are the packaged one are left alone. Ends with 3 when one failed.

${SELECTOR_HELP}

Examples:
  kk-controller nodes upgrade
  kk-controller nodes upgrade worker7
  kk-controller nodes upgrade 'worker:!worker7' --batch 50`,
    );
  return cli.action(command, async (selector: string | undefined, options: Options) => {
    await wakeController(cli);
    const stop = new AbortController();
    const stopListening = cli.parts.onInterrupt(() => stop.abort());
    try {
      const wish = { selector: selectorOf(selector ?? 'all'), batch: options.batch, limitSeconds: options.limit };
      const latest = await watch(cli, cli.client.upgrade(wish, stop.signal), options.output);
      if (stop.signal.aborted) {
        cli.note('Nothing more is begun; the nodes that have begun end it by themselves.');
        return EXIT_CODE.cancelled;
      }
      const isWhole = [...latest.values()].every(({ result }) => result === 'upgraded' || result === 'newest');
      return isWhole ? EXIT_CODE.done : EXIT_CODE.failed;
    } finally {
      stopListening();
    }
  });
}

/** Shows the lines as they come; gives the last one of each node. */
async function watch(cli: Cli, lines: AsyncIterable<UpgradeLine>, format: Format): Promise<Map<string, UpgradeLine>> {
  const latest = new Map<string, UpgradeLine>();
  const { out } = cli.parts;
  const { colors } = cli;
  const frame = () => upgradeFrame([...latest.values()], { colors, rows: out.rows || 24 });
  const live = format === 'table' && cli.isLive ? await startLive(out, frame) : undefined;
  try {
    for await (const line of lines) {
      latest.set(line.node, line);
      if (format !== 'table') cli.showNext(format, line);
      else if (!live) cli.print(upgradeText(line, colors));
      else {
        if (line.error) live.above(upgradeText(line, colors));
        live.touch();
      }
    }
  } finally {
    live?.end();
  }
  if (format === 'table') cli.print(upgradeConclusion([...latest.values()], colors));
  return latest;
}
