import type { RunView, StreamLine } from '../views/types.ts';
import type { Cli } from './cli.ts';
import type { Watcher } from './follow.ts';
import { type Live, startLive } from './live.ts';
import type { Format } from './options.ts';
import { equalResults, groupLines } from './output/exec-groups.ts';
import { outputOf, PrefixedLines, reason, resultLines, resultOf } from './output/exec-text.ts';
import { clean, count } from './output/text.ts';

/** Tells output as it is written, each line behind its node's name, and at the end who ended how. */
export function streamWatcher(cli: Cli): Watcher {
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
      }
      noteResult(results, line);
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

/** Tells at the end what was written, once for all nodes that wrote the same and ended in the same way. */
export async function groupingWatcher(cli: Cli, format: Format): Promise<Watcher> {
  const results = new Map<string, string>();
  const outputs = new Map<string, string[]>();
  let nodes = 0;
  const progress = (): string[] => [`${results.size} of ${count(nodes, 'node')} ended`];
  const live: Live | undefined =
    cli.isLive && format === 'table' ? await startLive(cli.parts.out, progress) : undefined;
  return {
    line(line) {
      if (line.type === 'run') nodes = line.run.nodes.length;
      if (line.type === 'ended') outputs.set(line.node, outputOf(line.output));
      noteResult(results, line);
      live?.touch();
    },
    note: (text) => cli.note(text),
    restart: () => {},
    end(run: RunView | undefined) {
      live?.end();
      const groups = equalResults(results, outputs);
      const { colors } = cli;
      cli.show(format, { run: run?.id, groups }, () => groupLines(groups, colors));
    },
  };
}

/** How it ended on the node, if the line says so. */
function noteResult(results: Map<string, string>, line: StreamLine): void {
  if (line.type === 'ended') results.set(line.node, resultOf(line));
  else if (line.type === 'blocked') results.set(line.node, clean(line.cause));
  else if (line.type === 'node' && line.error)
    results.set(line.node, `${line.error.code}: ${reason(line.error.message)}`);
}
