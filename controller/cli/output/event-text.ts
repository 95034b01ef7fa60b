import { stops } from '../../../shared/checks/outcome.ts';
import type { RunView, StreamLine } from '../../views/types.ts';
import type { Colors } from './colors.ts';
import { problemLines } from './problems.ts';
import { clean, clock, count, names, span } from './text.ts';

export interface EventStyle {
  colors: Colors;
  /** The time of day before each line: for logs and pipes. */
  times: boolean;
  /** Also what is only progress: first begin of a role, joining, changes. A live display shows those by itself. */
  progress: boolean;
  /** What was told and is not told again: roles as begun, nodes as blocked by a cause. Kept by the caller for the length of a stream. */
  told: Set<string>;
}

/** The lines of an event worth telling; none for the rest. */
export function eventText(line: StreamLine, style: EventStyle): string[] {
  const { colors } = style;
  const say = (at: string, text: string): string[] => [style.times ? `${colors.dim(clock(at))} ${text}` : text];
  switch (line.type) {
    case 'run':
      if (!style.progress) return [];
      return say(
        line.run.revised?.at ?? line.run.created,
        [`${runHead(line.run)}: ${count(line.run.nodes.length, 'node')}`, ...waitsText(line.run)].join(', '),
      );
    case 'asked':
      return say(line.at, colors.yellow(`${clean(line.by) || 'somebody'} asked: ${clean(line.what)}`));
    case 'node': {
      const error = line.error;
      if (error)
        return [
          ...say(line.at, `${line.node} ${colors.red(line.state)}`),
          ...indented(problemLines(error, { colors, placed: false })),
        ];
      if (!style.progress || line.phase === undefined) return [];
      return say(line.at, `${line.node} ${line.state}: ${clean(line.phase)}`);
    }
    case 'begun': {
      if (line.asks !== undefined)
        return say(line.at, colors.yellow(`${clean(line.name)} waits to be confirmed: ${clean(line.asks)}`));
      if (!style.progress || !isNews(style, 'role', line.play, line.role)) return [];
      return say(line.at, `role ${clean(line.role)} begun (${clean(line.play)})`);
    }
    case 'ended':
      return endedText(line, style, say);
    case 'blocked': {
      // Step after step is found to be blocked by the same; how many these are stands in the report.
      const what = line.cancelled ? 'cancelled' : 'blocked';
      if (!style.progress || !isNews(style, what, line.node, line.cause)) return [];
      return say(line.at, `${line.node} ${what}: ${clean(line.cause)}`);
    }
    case 'log':
    case 'progress':
    case 'finished':
      return [];
  }
}

/** The first time that something is told in this stream. */
function isNews({ told }: EventStyle, ...what: string[]): boolean {
  const key = JSON.stringify(what);
  if (told.has(key)) return false;
  told.add(key);
  return true;
}

/** `run r1 lab`, and from the second revision on how it came about. */
function runHead({ id, name, revision, revised }: RunView): string {
  const head = `run ${id} ${clean(name)}`;
  if (!revised) return head;
  const { how, by, node } = revised;
  const why = node === undefined ? `${how} by ${clean(by)}` : `${node} lost its journal: its work is done again`;
  return `${head}, revision ${revision} (${why})`;
}

/** Who holds which nodes of a queued run, since when. */
export function waitsText({ waitingFor }: RunView): string[] {
  return waitingFor.map(
    ({ run, name, by, since, nodes }) =>
      `waits for run ${run} (${clean(name)}, by ${clean(by)} since ${clock(since)}), which holds ${names(nodes)}`,
  );
}

function endedText(
  line: StreamLine & { type: 'ended' },
  { colors, progress }: EventStyle,
  say: (at: string, text: string) => string[],
): string[] {
  // It was told when it was done; the report counts it.
  if (line.kept) return [];
  const { verdict } = line;
  const head = `${line.node} ${clean(line.task)}`;
  if (verdict && verdict.outcome !== 'pass') {
    const paint = stops(verdict.outcome) ? colors.red : colors.yellow;
    const told = say(line.at, `${line.node} ${verdict.check} ${paint(verdict.outcome)}: ${clean(verdict.message)}`);
    return verdict.remedy === '' ? told : [...told, `  ${colors.cyan('do:')} ${clean(verdict.remedy)}`];
  }
  if (line.ignored) return progress ? say(line.at, `${head} failed, ignored: ${clean(line.error?.message ?? '')}`) : [];
  if (line.caught)
    return progress
      ? say(line.at, `${head} ${line.outcome}, its rescue follows: ${clean(line.error?.message ?? '')}`)
      : [];
  if (line.outcome === 'ok' && line.reason !== undefined && progress)
    return say(line.at, `${head} ${clean(line.reason)}`);
  if (line.outcome === 'failed' || line.outcome === 'interrupted') {
    const told = say(line.at, `${head} ${colors.red(line.outcome)} after ${span(line.durationMs)}`);
    return line.error ? [...told, ...indented(problemLines(line.error, { colors, placed: false }))] : told;
  }
  return progress && line.changed
    ? say(line.at, `${head} ${colors.yellow(line.check ? 'would change' : 'changed')}`)
    : [];
}

function indented(lines: readonly string[]): string[] {
  return lines.map((line) => `  ${line}`);
}
