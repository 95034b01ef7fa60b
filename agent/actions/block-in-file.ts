import { blockLines, markersOf } from '../../shared/actions/block-in-file.ts';
import type { ActionInput } from '../../shared/actions/index.ts';
import { KkError } from '../../shared/errors.ts';
import type { ActionExecutor } from './executor.ts';
import { placeIn } from './line-pattern.ts';
import { editing } from './text-edit.ts';
import { inserted, type Line, replaced } from './text-lines.ts';

/** The block with its markers, as indexes from its first line to after its last; undefined: there is none. */
function blockIn(lines: readonly Line[], input: ActionInput<'block_in_file'>): [from: number, to: number] | undefined {
  const { begin, end } = markersOf(input);
  const marks = lines.flatMap(({ text }, index) => (text === begin || text === end ? [{ text, index }] : []));
  const [first, second, third] = marks;
  if (first === undefined) return undefined;
  if (first.text === begin && second?.text === end && third === undefined) return [first.index, second.index + 1];
  // Which lines are ours cannot be told, and to guess would take out somebody else's.
  throw new KkError({
    code: 'BLOCK_MARKERS_BROKEN',
    message: `${input.path} does not have the markers of the block once each and in order: ${begin}`,
    remedy: 'Edit the file on the node: leave one pair of markers, or none, and run again.',
    evidence: marks
      .slice(0, 20)
      .map(({ text, index }) => `line ${index + 1}: ${text}`)
      .join('\n'),
  });
}

export const blockInFileExecutor: ActionExecutor<'block_in_file'> = editing((lines, input) => {
  const found = blockIn(lines, input);
  const { begin, end } = markersOf(input);
  const block = blockLines(input.block ?? '');
  const wanted = block.length === 0 ? [] : [begin, ...block, end];
  if (found !== undefined) return replaced(lines, ...found, wanted);
  return wanted.length === 0 ? lines : inserted(lines, placeIn(lines, input), wanted);
});
