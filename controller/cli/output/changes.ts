import type { ChangeView } from '../../views/types.ts';
import type { Colors } from './colors.ts';
import { clean, names } from './text.ts';

/** So many lines of diffs in all are shown unasked. */
const LINES_UNASKED = 60;
/** So many changes are listed unasked. */
const CHANGES_UNASKED = 40;

/** Each change with the paths that it touched; the same one on several nodes once. Diffs whole when asked for or few. */
export function changeLines(changes: readonly ChangeView[], style: { colors: Colors; diff: boolean }): string[] {
  const { colors } = style;
  const same = [...Map.groupBy(changes, ({ task, diffs }) => JSON.stringify([task, diffs])).values()];
  const length = same.reduce((sum, [first]) => sum + (first?.diffs ?? []).flatMap(bodyOf).length, 0);
  const whole = style.diff || length <= LINES_UNASKED;
  const shown = style.diff ? same : same.slice(0, CHANGES_UNASKED);
  const lines = shown.flatMap((group) => {
    const [first] = group;
    if (!first) return [];
    const head = `${names(group.map(({ node }) => clean(node)))}: ${clean(first.task)}`;
    return [head, ...first.diffs.flatMap((diff) => diffLines(diff, whole, colors))];
  });
  const left = same.length - shown.length;
  if (left > 0) lines.push(`… ${left} more`);
  if (!whole || left > 0) lines.push(colors.dim('(--diff shows all of it)'));
  return lines;
}

function diffLines(diff: ChangeView['diffs'][number], whole: boolean, colors: Colors): string[] {
  const body = bodyOf(diff);
  const added = body.filter((line) => line.startsWith('+')).length;
  const removed = body.filter((line) => line.startsWith('-')).length;
  const numbers = body.length === 0 ? '' : ` (${colors.green(`+${added}`)} ${colors.red(`-${removed}`)})`;
  const painted = body.map((line) => `    ${paint(line, colors)}`);
  return [`  ${clean(diff.path)}${numbers}`, ...(whole ? painted : [])];
}

/** Without the header lines that name the files. */
function bodyOf(diff: ChangeView['diffs'][number]): string[] {
  const lines = clean(diff.unified).trimEnd().split('\n');
  const start = lines.findIndex((line) => line.startsWith('@@'));
  return start < 0 ? lines.filter((line) => /^[-+ ]/.test(line) && !/^(---|\+\+\+) /.test(line)) : lines.slice(start);
}

function paint(line: string, colors: Colors): string {
  if (line.startsWith('+')) return colors.green(line);
  if (line.startsWith('-')) return colors.red(line);
  return colors.dim(line);
}
