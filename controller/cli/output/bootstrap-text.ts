import type { BootstrapLine } from '../client.ts';
import { type Colors, painted } from './colors.ts';
import { problemLines } from './problems.ts';
import { table } from './table.ts';
import { clean, count, names } from './text.ts';

/** One line of a stream, for a pipe; a failure with its cause and remedy. */
export function bootstrapText(line: BootstrapLine, colors: Colors): string[] {
  const head = `${clean(line.node)}: ${line.error ? colors.red('failed') : clean(line.phase)}`;
  if (!line.error) return [head];
  return [head, ...problemLines(line.error, { colors, placed: false }).map((text) => `  ${text}`)];
}

/** The live table: who is at what; when there are more nodes than lines, those that are done are only counted. */
export function bootstrapFrame(latest: readonly BootstrapLine[], style: { colors: Colors; rows: number }): string[] {
  const { colors } = style;
  const room = Math.max(3, style.rows - 4);
  const open = latest.length > room ? latest.filter((line) => !line.done) : latest;
  const shown = open.slice(0, room);
  const rows = shown.map((line) => [clean(line.node), painted(stateOf(line), colors), clean(line.phase)]);
  const left = latest.length - shown.length;
  const done = latest.filter((line) => line.done && !line.error).length;
  return [
    ...table(['node', 'state', 'phase'], rows),
    ...(left > 0 ? [colors.dim(`${left} more, ${done} of ${latest.length} done`)] : []),
  ];
}

export function bootstrapConclusion(latest: readonly BootstrapLine[], colors: Colors): string {
  const failed = latest.filter((line) => line.error);
  const done = latest.length - failed.length;
  if (latest.length === 0) return 'Nothing to do: no node of the plan has ssh settings.';
  if (failed.length === 0) return `${colors.green('Done:')} ${count(done, 'node')} ready.`;
  return `${colors.red('Failed')} on ${names(failed.map(({ node }) => clean(node)))}; ${done} of ${count(latest.length, 'node')} ready.`;
}

function stateOf(line: BootstrapLine): string {
  if (line.error) return 'failed';
  return line.done ? 'done' : 'joining';
}
