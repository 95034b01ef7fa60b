import type { UpgradeLine } from '../client.ts';
import { bootstrapText } from './bootstrap-text.ts';
import type { Colors } from './colors.ts';
import { nodesFrame } from './nodes-frame.ts';
import { clean, count, names } from './text.ts';

/** One line of a stream, for a pipe; a failure with its cause and remedy. */
export const upgradeText: (line: UpgradeLine, colors: Colors) => string[] = bootstrapText;

export function upgradeFrame(latest: readonly UpgradeLine[], style: { colors: Colors; rows: number }): string[] {
  return nodesFrame(latest, { ...style, stateOf, isDone: ({ done }) => done });
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
