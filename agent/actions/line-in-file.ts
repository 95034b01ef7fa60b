import type { ActionInput } from '../../shared/actions/index.ts';
import type { ActionExecutor } from './executor.ts';
import { matching, placeIn } from './line-pattern.ts';
import { editing } from './text-edit.ts';
import { inserted, type Line, replaced } from './text-lines.ts';

/** Semantics of Ansible's lineinfile, except that what a second run would change is settled by the first, see below. */
function withLine(lines: Line[], { line = '', regexp }: ActionInput<'line_in_file'>): Line[] | undefined {
  const same = lines.findLastIndex(({ text }) => text === line);
  const last = regexp === undefined ? same : matching(regexp, lines).at(-1);
  // Where the line does not match its own regexp, a second run would replace one more line, or add the line once more.
  const isOwnMatch = regexp === undefined || matching(regexp, [{ text: line, end: '' }]).length > 0;
  if (same >= 0 && !isOwnMatch) return lines;
  return last === undefined || last < 0 ? undefined : replaced(lines, last, last + 1, [line]);
}

function without(lines: Line[], { line, regexp }: ActionInput<'line_in_file'>): Line[] {
  const gone = new Set(regexp === undefined ? [] : matching(regexp, lines));
  return lines.filter(({ text }, index) => !gone.has(index) && text !== line);
}

export const lineInFileExecutor: ActionExecutor<'line_in_file'> = editing((lines, input) => {
  if (input.state === 'absent') return without(lines, input);
  return withLine(lines, input) ?? inserted(lines, placeIn(lines, input), [input.line ?? '']);
});
