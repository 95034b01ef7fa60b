import { Command } from 'commander';
import { KkError } from '../../../shared/errors.ts';
import { EXIT_CODE } from '../../../shared/lifecycle.ts';
import type { RunView, StreamLine } from '../../views/types.ts';
import type { Cli } from '../cli.ts';
import { exitCodeOf } from '../follow.ts';
import { type Format, withOutput } from '../options.ts';
import { eventText } from '../output/event-text.ts';
import { PrefixedLines } from '../output/exec-text.ts';
import { clean, clock, names, span } from '../output/text.ts';
import { wakeController } from '../wake.ts';

interface Options {
  output: Format;
  follow?: boolean;
  node?: string;
  task?: string;
}

export function logsCommand(cli: Cli): Command {
  const command = withOutput(new Command('logs'))
    .description('Tell what happened in a run, with the output of its commands')
    .argument('[run]', 'its id, the beginning of it or of its last part, or `last`', 'last')
    .option('-f, --follow', 'go on until the run has ended')
    .option('--node <node>', 'only of this node')
    .option('--task <text>', 'only of tasks whose name or key holds this text')
    .addHelpText(
      'after',
      `
With --follow it ends with the run's exit code. Ctrl-C ends only the watching, not the run.

Examples:
  kk-controller logs
  kk-controller logs last -f
  kk-controller logs 7f3a --node worker7 --task kubelet
  kk-controller logs last -o json | jq -r 'select(.type == "log") | .text'`,
    );
  return cli.action(command, async (id: string, options: Options) => {
    const { client } = cli;
    await wakeController(cli);
    const run = await client.run(id);
    if (options.node !== undefined) checkNode(run, options.node);
    const stop = new AbortController();
    const stopListening = cli.parts.onInterrupt(() => stop.abort());
    const printer = new LogPrinter(cli, options);
    let end = EXIT_CODE.done;
    try {
      const live = options.follow ?? false;
      for await (const line of client.follow(run.id, { logs: true, live }, stop.signal)) {
        printer.add(line);
        if (line.type === 'finished' && live) end = exitCodeOf(line.run);
      }
    } finally {
      stopListening();
      printer.end();
    }
    return end;
  });
}

/** Nothing told of a node that has no part in the run would read as nothing done. */
function checkNode(run: RunView, node: string): void {
  if (run.nodes.some((part) => part.node === node)) return;
  throw new KkError({
    code: 'NODE_NOT_IN_RUN',
    message: `Node "${node}" has no part in run ${run.id}.`,
    remedy: `Its nodes: ${names(
      run.nodes.map((part) => part.node),
      20,
    )}.`,
  });
}

/** Past lines are kept back to be put in order of time, as long as they are not more than this. */
const MOST_SORTED = 200_000;

/** Prints the lines that were asked for: events and output of commands together, in order of time as far as they are past. */
class LogPrinter {
  readonly #cli: Cli;
  readonly #options: Options;
  readonly #output = new PrefixedLines();
  readonly #told = new Set<string>();
  #held: { at: string; text: string }[] | undefined;

  constructor(cli: Cli, options: Options) {
    this.#cli = cli;
    this.#options = options;
    this.#held = options.follow ? undefined : [];
  }

  add(line: StreamLine): void {
    if (!this.#isWanted(line)) return;
    const { output } = this.#options;
    if (output !== 'table') this.#cli.showNext(output, line);
    else if (line.type === 'log') {
      for (const { node, text } of this.#output.add(line)) this.#say(line.at, [this.#outputLine(line.at, node, text)]);
    } else if (line.type === 'finished') {
      this.#say(line.run.ended ?? line.run.created, [
        `run ${line.run.id} ${line.run.status} after ${span(line.run.durationMs)}`,
      ]);
    } else {
      const style = { colors: this.#cli.colors, times: true, progress: true, told: this.#told };
      this.#say(line.type === 'run' ? line.run.created : line.at, eventText(line, style));
    }
  }

  end(): void {
    for (const { node, text } of this.#output.flush()) this.#say('~', [this.#outputLine('', node, text)]);
    const held = (this.#held ?? []).sort((a, b) => (a.at < b.at ? -1 : Number(a.at > b.at)));
    this.#held = undefined;
    for (const { text } of held) this.#cli.print(text);
  }

  #isWanted(line: StreamLine): boolean {
    const { node, task } = this.#options;
    if (line.type === 'run' || line.type === 'asked' || line.type === 'finished') return true;
    if (node !== undefined && line.node !== node) return false;
    if (task === undefined) return true;
    if (line.type === 'node') return false;
    if (line.type === 'blocked') return line.tasks.some((key) => key.includes(task));
    return line.task.includes(task) || ('name' in line && line.name.includes(task));
  }

  #outputLine(at: string, node: string, text: string): string {
    const { colors, parts } = this.#cli;
    const shown = parts.out.isTTY === true ? clean(text) : text;
    return `${at === '' ? '' : `${colors.dim(clock(at))} `}${colors.cyan(node)} | ${shown}`;
  }

  #say(at: string, lines: readonly string[]): void {
    if (lines.length === 0) return;
    if (this.#held && this.#held.length >= MOST_SORTED) this.end();
    if (this.#held) this.#held.push({ at, text: lines.join('\n') });
    else this.#cli.print(lines);
  }
}
