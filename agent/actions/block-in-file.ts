import { blockLines, holdsMarkers, markersOf } from '../../shared/actions/block-in-file.ts';
import type { ActionInput } from '../../shared/actions/index.ts';
import { KkError } from '../../shared/errors.ts';
import type { ActionContext, ActionExecutor } from './executor.ts';
import { placeIn } from './line-pattern.ts';
import { editing } from './text-edit.ts';
import { inserted, type Line, replaced } from './text-lines.ts';
import { wantedContent } from './wanted-content.ts';

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

/** Throws BLOCK_HOLDS_MARKERS, ROLE_FILE_MISSING and what rendering throws. */
function wantedBlock(input: ActionInput<'block_in_file'>, context: ActionContext): string[] {
  const { block: content, template, path } = input;
  const text = wantedContent({ content, template }, context)?.toString('utf8') ?? '';
  if (!holdsMarkers(input, text)) return blockLines(text);
  throw new KkError({
    code: 'BLOCK_HOLDS_MARKERS',
    message: `The text of ${template} for ${path} holds the markers of its own block, which could not be found again.`,
    remedy: 'Take those lines out of the template, or give the block another name.',
  });
}

export const blockInFileExecutor: ActionExecutor<'block_in_file'> = editing((lines, input, context) => {
  const found = blockIn(lines, input);
  const { begin, end } = markersOf(input);
  const block = wantedBlock(input, context);
  const wanted = block.length === 0 ? [] : [begin, ...block, end];
  if (found !== undefined) return replaced(lines, ...found, wanted);
  return wanted.length === 0 ? lines : inserted(lines, placeIn(lines, input), wanted);
});
