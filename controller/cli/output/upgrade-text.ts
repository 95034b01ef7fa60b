import type { UpgradeLine } from '../client.ts';
import { bootstrapText } from './bootstrap-text.ts';
import { type Colors, painted } from './colors.ts';
import { table } from './table.ts';
import { clean, count, names } from './text.ts';

/** One line of a stream, for a pipe; a failure with its cause and remedy. */
export const upgradeText: (line: UpgradeLine, colors: Colors) => string[] = bootstrapText;

/** The live table: who is at what; when there are more nodes than lines, those that are done are only counted. */
export function upgradeFrame(latest: readonly UpgradeLine[], style: { colors: Colors; rows: number }): string[] {
  const { colors } = style;
  const room = Math.max(3, style.rows - 4);
  const open = latest.length > room ? latest.filter((line) => !line.done) : latest;
  const shown = open.slice(0, room);
  const rows = shown.map((line) => [clean(line.node), painted(stateOf(line), colors), clean(line.phase)]);
  const left = latest.length - shown.length;
  const done = latest.filter((line) => line.done).length;
  return [
    ...table(['node', 'state', 'phase'], rows),
    ...(left > 0 ? [colors.dim(`${left} more, ${done} of ${latest.length} done`)] : []),
  ];
}

export function upgradeConclusion(latest: readonly UpgradeLine[], colors: Colors): string {
  const of = (result: UpgradeLine['result']): UpgradeLine[] => latest.filter((line) => line.result === result);
  const [failed, left] = [of('failed'), of('left')];
  const done = `${count(of('upgraded').length, 'agent')} upgraded, ${of('newest').length} had the newest`;
  if (failed.length === 0 && left.length === 0) return `${colors.green('Done:')} ${done}.`;
  const stopped = left.length === 0 ? '' : `; ${count(left.length, 'node')} not begun`;
  return `${colors.red('Failed')} on ${names(failed.map(({ node }) => clean(node)))}; ${done}${stopped}.`;
}

function stateOf({ done, result }: UpgradeLine): string {
  if (!done) return 'working';
  return result === 'failed' ? 'failed' : result === 'left' ? 'waiting' : 'done';
}
