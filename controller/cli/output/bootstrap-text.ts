import type { BootstrapLine } from '../client.ts';
import type { Colors } from './colors.ts';
import { nodesFrame } from './nodes-frame.ts';
import { problemLines } from './problems.ts';
import { clean, count, names } from './text.ts';

/** One line of a stream, for a pipe; a failure with its cause and remedy. */
export function bootstrapText(line: BootstrapLine, colors: Colors): string[] {
  const head = `${clean(line.node)}: ${line.error ? colors.red('failed') : clean(line.phase)}`;
  if (!line.error) return [head];
  return [head, ...problemLines(line.error, { colors, placed: false }).map((text) => `  ${text}`)];
}

export function bootstrapFrame(latest: readonly BootstrapLine[], style: { colors: Colors; rows: number }): string[] {
  return nodesFrame(latest, { ...style, stateOf, isDone: (line) => line.done && !line.error });
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
