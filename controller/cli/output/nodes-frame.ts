import { type Colors, painted } from './colors.ts';
import { table } from './table.ts';
import { clean } from './text.ts';

/** A node of something that goes on at many: the newest word of each. */
export interface NodeLine {
  node: string;
  phase: string;
  done: boolean;
}

/** The live table: who is at what; when there are more nodes than lines, those that are done are only counted. */
export function nodesFrame<L extends NodeLine>(
  latest: readonly L[],
  {
    stateOf,
    isDone,
    colors,
    rows,
  }: { stateOf(line: L): string; isDone(line: L): boolean; colors: Colors; rows: number },
): string[] {
  const room = Math.max(3, rows - 4);
  const open = latest.length > room ? latest.filter((line) => !line.done) : latest;
  const shown = open.slice(0, room);
  const lines = shown.map((line) => [clean(line.node), painted(stateOf(line), colors), clean(line.phase)]);
  const left = latest.length - shown.length;
  return [
    ...table(['node', 'state', 'phase'], lines),
    ...(left > 0 ? [colors.dim(`${left} more, ${latest.filter(isDone).length} of ${latest.length} done`)] : []),
  ];
}
