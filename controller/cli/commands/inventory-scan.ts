import { Command, InvalidArgumentError } from 'commander';
import type { StreamLine } from '../../views/types.ts';
import type { Cli } from '../cli.ts';
import { followRun, type Watcher } from '../follow.ts';
import { durationOption, type Format, withOutput } from '../options.ts';
import { problemsText } from '../output/problems.ts';
import { type Scan, scanLines, scanOf } from '../output/scan-text.ts';
import { reviveController, wakeController } from '../wake.ts';

interface ScanOptions {
  output: Format;
  from?: string;
  port: number[];
  timeout: number;
}

export function scanCommand(cli: Cli): Command {
  const command = withOutput(new Command('scan'))
    .description(
      'Find machines in a network, as a node that has joined sees it, and print them as hosts of an inventory',
    )
    .argument('<network>', 'such as 10.0.0.0/24: at most a /20 (IPv6: /116)')
    .option('--from <node>', 'the node that looks; default: the first that is connected')
    .option('--port <ports>', 'TCP ports, separated by commas: who answers on one of them is told', ports, [22])
    .addOption(
      durationOption('--timeout <duration>', 'how long an address that says nothing is waited for', '1s', {
        least: '1s',
        most: '10s',
      }),
    )
    .addHelpText(
      'after',
      `
The node connects to each address, 128 at once, and says nothing. Nodes that have joined already are told as such.

Examples:
  kk-controller inventory scan 10.0.0.0/24
  kk-controller inventory scan 10.0.0.0/22 --from node1 --port 22,6443 -o json`,
    );
  return cli.action(command, async (network: string, { output: format, from, port, timeout }: ScanOptions) => {
    await wakeController(cli);
    const by = cli.parts.settings.user;
    const wish = { network, ports: port, timeoutSeconds: timeout, by, ...(from === undefined ? {} : { from }) };
    const { run, node } = await cli.client.scan(wish);
    const watcher = new ScanWatcher((text) => cli.note(text));
    const code = await followRun(cli, { run, logs: false, watcher, revive: () => reviveController(cli) });
    const { ended } = watcher;
    if (ended?.error) cli.parts.err.write(problemsText([{ ...ended.error, node }], { colors: cli.errColors }));
    if (ended?.outcome !== 'ok') return code;
    const scan: Scan = scanOf(node, network, ended.output, await cli.client.nodes());
    cli.show(format, scan, () => scanLines(scan));
    return code;
  });
}

/** Waits for the one step of a scan. */
class ScanWatcher implements Watcher {
  readonly note: (text: string) => void;
  ended: Extract<StreamLine, { type: 'ended' }> | undefined;

  constructor(note: (text: string) => void) {
    this.note = note;
  }

  line(line: StreamLine): void {
    if (line.type === 'ended') this.ended = line;
    else if (line.type === 'blocked') this.note(line.cause);
    else if (line.type === 'node' && line.error) this.note(`${line.error.code}: ${line.error.message}`);
  }

  restart(): void {}

  end(): void {}
}

function ports(text: string): number[] {
  const list = text.split(',').map(Number);
  if (list.length <= 16 && list.every((port) => Number.isInteger(port) && port >= 1 && port <= 65_535)) return list;
  throw new InvalidArgumentError('Write at most 16 ports from 1 to 65535, separated by commas.');
}
