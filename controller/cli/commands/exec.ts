import { Command } from 'commander';
import { KkError } from '../../../shared/errors.ts';
import type { Cli } from '../cli.ts';
import { followRun, rawWatcher, type Watcher } from '../follow.ts';
import { durationOption, type Format, withOutput } from '../options.ts';
import { outputOf, PrefixedLines, reason, resultLines, resultOf } from '../output/exec-text.ts';
import { clean } from '../output/text.ts';
import { reviveController } from '../start-run.ts';
import { wakeController } from '../wake.ts';

export function execCommand(cli: Cli): Command {
  const command = withOutput(new Command('exec'))
    .description('Run a command on nodes that have joined')
    .argument('<selector>', 'nodes and groups, separated by commas; !x leaves x out')
    .argument('<command...>', 'after --: a program and its arguments; one single word is a line of shell')
    .addOption(durationOption('--timeout <duration>', 'kill it after so long; 0: never', '0'))
    .addHelpText(
      'after',
      `
Output comes as it is written, each line behind its node's name. Ends with 3 when it failed on any node.

Examples:
  kk-controller exec all -- uptime
  kk-controller exec 'worker,!worker7' --timeout 30s -- systemctl restart containerd
  kk-controller exec node1,node2 -- 'df -h / | tail -1'`,
    );
  return cli.action(
    command,
    async (selector: string, argv: [string, ...string[]], options: { output: Format; timeout: number }) => {
      const chosen = selector.split(',').filter((word) => word !== '');
      if (chosen.length === 0) {
        throw new KkError({
          code: 'SELECTOR_EMPTY',
          message: 'The selector names no node.',
          remedy: 'Give names of nodes or groups, for example `all`.',
        });
      }
      await wakeController(cli);
      const { run } = await cli.client.exec({
        selector: chosen,
        argv,
        timeoutSeconds: options.timeout,
        by: cli.parts.settings.user,
      });
      const { output: format } = options;
      const watcher = format === 'table' ? execWatcher(cli) : rawWatcher(cli, format);
      return followRun(cli, { run, logs: true, watcher, revive: () => reviveController(cli) });
    },
  );
}

function execWatcher(cli: Cli): Watcher {
  const { colors } = cli;
  const onTerminal = cli.parts.out.isTTY === true;
  const results = new Map<string, string>();
  const ended = new Map<string, string[]>();
  let lines = new PrefixedLines();
  let width = 0;
  /** Lines told before the stream started over. */
  let told = 0;
  let seen = 0;
  const say = (list: readonly { node: string; text: string }[]): void => {
    for (const { node, text } of list) {
      seen += 1;
      if (seen > told) cli.print(`${colors.cyan(clean(node).padEnd(width))} | ${onTerminal ? clean(text) : text}`);
    }
  };
  return {
    line(line) {
      if (line.type === 'run') width = Math.min(32, Math.max(0, ...line.run.nodes.map(({ node }) => node.length)));
      else if (line.type === 'log') say(lines.add(line));
      else if (line.type === 'ended') {
        say(lines.flush(line.node));
        ended.set(line.node, outputOf(line.output));
        results.set(line.node, resultOf(line));
      } else if (line.type === 'blocked') results.set(line.node, clean(line.cause));
      else if (line.type === 'node' && line.error)
        results.set(line.node, `${line.error.code}: ${reason(line.error.message)}`);
    },
    note: (text) => cli.note(text),
    restart() {
      told = Math.max(told, seen);
      seen = 0;
      lines = new PrefixedLines();
    },
    end() {
      say(lines.flush());
      // what came before this client listened may be there only as the step's result
      for (const [node, texts] of ended) if (!lines.heard.has(node)) say(texts.map((text) => ({ node, text })));
      for (const text of resultLines(results, cli.errColors)) cli.note(text);
    },
  };
}
