import { z } from 'zod';
import { defineAction } from './define-action.ts';
import { given } from './fields.ts';
import { contradictionIn, FileLeft, TEXT_FILE } from './text-file.ts';

const MARK = '{mark}';

/** The lines around a block. */
export function markersOf({ name, marker }: { name?: string | undefined; marker?: string | undefined }): {
  begin: string;
  end: string;
} {
  const line = marker ?? `# ${MARK} KK MANAGED BLOCK ${name ?? ''}`;
  return { begin: line.replace(MARK, 'BEGIN'), end: line.replace(MARK, 'END') };
}

/** A text as lines; the line break at its end, which YAML's `|` leaves, makes no line of its own. */
export function blockLines(block: string): string[] {
  const text = block.replaceAll('\r\n', '\n').replace(/\n$/, '');
  return text === '' ? [] : text.split('\n');
}

export function holdsMarkers(named: Parameters<typeof markersOf>[0], block: string): boolean {
  const { begin, end } = markersOf(named);
  return blockLines(block).some((line) => line === begin || line === end);
}

/**
 * Several lines in a file of somebody else's, between two marker lines by which they are found again; as Ansible's
 * blockinfile. A block that is there is replaced where it stands.
 */
export const blockInFile = defineAction({
  kind: 'block_in_file',
  version: 1,
  summary: 'a marked block of lines in a text file; or none',
  input: z
    .strictObject({
      ...TEXT_FILE,
      /** Tells blocks of one file apart, in the default marker `# {mark} KK MANAGED BLOCK <name>`. */
      name: z
        .string()
        .max(200)
        .regex(/^\S(?:[^\r\n]*\S)?$/, 'the name of a block is one line')
        .optional(),
      /** Where comments are not written with `#`; `{mark}` becomes BEGIN and END. */
      marker: z
        .string()
        .max(1000)
        .regex(/^[^\r\n]*$/, 'a marker is one line')
        .refine((marker) => marker.split(MARK).length === 2, 'a marker holds {mark} once')
        .optional(),
      /** Empty is as good as state: absent. */
      block: z.string().optional(),
      /** The same from the role's templates/, rendered with the step's variables. */
      template: z.string().min(1).optional(),
    })
    .refine((input) => given(input, ['name', 'marker']).length === 1, 'give exactly one of name and marker')
    .refine((input) => given(input, ['block', 'template']).length === (input.state === 'absent' ? 0 : 1), {
      message: 'give block or template, or state: absent without them',
    })
    .superRefine((input, { addIssue }) => {
      const message = contradictionIn(input);
      if (message !== undefined) addIssue({ code: 'custom', message });
    })
    .refine((input) => !holdsMarkers(input, input.block ?? ''), 'a block may not hold its own markers'),
  output: FileLeft,
  changes: true,
  repeatable: true,
  undo: 'restores',
  example: {
    path: '/etc/hosts',
    name: 'cluster',
    block: '10.0.0.11 cp1\n10.0.0.21 w1\n',
  },
});
