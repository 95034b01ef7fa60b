import type { RunView, StreamLine } from '../views/types.ts';
import type { Cli } from './cli.ts';
import type { Watcher } from './follow.ts';
import { startLive } from './live.ts';
import { byName, reason } from './output/exec-text.ts';
import { rateText, sizeText } from './output/size-text.ts';
import { clean, count } from './output/text.ts';

/** What a copy or a fetch tells of itself. */
interface Told {
  files?: number | unknown[];
  count?: number;
  bytes?: number;
  /** Of a fetch: files that the controller did not have like that. */
  brought?: number;
}

interface OnNode {
  files: number;
  bytes: number;
  /** Bytes of what was not there like that before. */
  brought: number;
  changed: boolean;
  failed: { text: string; remedy?: string }[];
}

/** A line for each node when all are done, one for all of them, and meanwhile how many are. */
export async function copyWatcher(cli: Cli): Promise<Watcher> {
  const { colors } = cli;
  const begun = cli.parts.now();
  const nodes = new Map<string, OnNode>();
  let run: RunView | undefined;
  const progress = (): string => `${nodes.size} of ${count(run?.nodes.length ?? 0, 'node')} told`;
  const live = cli.isLive ? await startLive(cli.parts.out, () => [progress()]) : undefined;
  const of = (node: string): OnNode => {
    const found = nodes.get(node) ?? { files: 0, bytes: 0, brought: 0, changed: false, failed: [] };
    nodes.set(node, found);
    return found;
  };
  return {
    line(line) {
      if (line.type === 'run') run = line.run;
      else if (line.type === 'ended') note(of(line.node), line);
      else if (line.type === 'blocked') of(line.node).failed.push({ text: clean(line.cause) });
      else if (line.type === 'node' && line.error) of(line.node).failed.push(failure(line.error));
      live?.touch();
    },
    note: (text) => cli.note(text),
    restart: () => nodes.clear(),
    end() {
      live?.end();
      const width = Math.max(0, ...[...nodes.keys()].map((node) => node.length));
      for (const [node, { files, bytes, changed, failed }] of [...nodes].sort(([a], [b]) => byName(a, b))) {
        const [first] = failed;
        const done = `${count(files, 'file')}, ${sizeText(bytes)}${changed ? '' : ', unchanged'}`;
        cli.print(`${colors.cyan(clean(node).padEnd(width))}  ${first === undefined ? done : colors.red(first.text)}`);
        if (first?.remedy) cli.print(`${' '.repeat(width)}  ${colors.cyan('do:')} ${clean(first.remedy)}`);
      }
      const brought = [...nodes.values()].reduce((sum, one) => sum + one.brought, 0);
      const rate = `${rateText(brought, cli.parts.now() - begun)} together`;
      if (nodes.size > 1) cli.note(`${count(nodes.size, 'node')}, ${brought === 0 ? 'nothing to bring' : rate}`);
    },
  };
}

function note(one: OnNode, { output, changed, error }: StreamLine & { type: 'ended' }): void {
  const told = (output ?? {}) as Told;
  const isNew = changed || (told.brought ?? 0) > 0;
  one.files += told.count ?? (typeof told.files === 'number' ? told.files : 0);
  one.bytes += told.bytes ?? 0;
  one.brought += isNew ? (told.bytes ?? 0) : 0;
  one.changed ||= isNew;
  if (error) one.failed.push(failure(error));
}

function failure({ code, message, remedy }: { code: string; message: string; remedy: string }): OnNode['failed'][0] {
  return { text: `${code}: ${reason(message)}`, remedy };
}
