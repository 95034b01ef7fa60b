import type { RunView } from '../../views/types.ts';
import type { Colors } from './colors.ts';
import { table } from './table.ts';
import { clean, count, span } from './text.ts';

/** Shorter runs have no time worth to be looked for. */
const LONG_MS = 10_000;
/** Of the critical path, what takes less than this share of the run is told as a sum. */
const SHARE = 0.01;

/** When each play was at work and how long the critical path is: for the end of a run that took its time. */
export function timeLines({ times }: RunView): string[] {
  if (!times || times.makespanMs < LONG_MS) return [];
  const rows = times.plays.map(({ play, fromMs, untilMs }) => [
    clean(play),
    span(untilMs - fromMs),
    span(fromMs),
    span(untilMs),
  ]);
  return [...table(['play', 'took', 'from', 'until'], rows), pathSentence(times)];
}

function pathSentence({ pathMs, makespanMs, overhead, path }: NonNullable<RunView['times']>): string {
  const [first] = path.toSorted((a, b) => b.ms - a.ms);
  const most = first ? `, most of it ${clean(first.task)} on ${clean(first.node)} (${span(first.ms)})` : '';
  const own = `${(overhead * 100).toFixed(1)} % beyond it`;
  return `Critical path: ${span(pathMs)} of ${span(makespanMs)} in ${count(path.length, 'step')}${most}; ${own}.`;
}

/** The critical path step by step. */
export function pathLines({ times }: RunView, colors: Colors): string[] {
  if (!times) return [];
  const shown = times.path.filter(({ ms }) => ms >= times.makespanMs * SHARE);
  const rows = shown.map(({ node, task, ms }) => [span(ms), clean(node), clean(task)]);
  const rest = times.path.filter((step) => !shown.includes(step));
  const sum = span(rest.reduce((total, { ms }) => total + ms, 0));
  return [
    ...table(['took', 'node', 'task'], rows),
    ...(rest.length > 0 ? [colors.dim(`and ${count(rest.length, 'shorter step')}, ${sum} in all`)] : []),
  ];
}
