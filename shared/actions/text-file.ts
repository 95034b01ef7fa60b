import { z } from 'zod';
import { patternOf } from '../pattern.ts';
import { AbsolutePath, Account, given } from './fields.ts';
import { Mode } from './mode.ts';

/** A regular expression that is looked for within each line, without its line break. */
export const LinePattern = z
  .string()
  .min(1)
  .max(1000)
  .refine((text) => patternOf(text) !== undefined, 'not a valid regular expression');

/** What the actions that edit a text file have in common. */
export const TEXT_FILE = {
  path: AbsolutePath,
  /** New text comes after the last line that matches, or at the end with `EOF`, the default, or where none matches. */
  insert_after: LinePattern.optional(),
  /** New text comes before the last line that matches, or at the beginning with `BOF`; where none matches, at the end. */
  insert_before: LinePattern.optional(),
  /** Make the file where there is none; else that is an error. */
  create: z.boolean().default(false),
  /** Unstated: an existing file keeps its own, a new one gets 0644 and the agent's user. */
  mode: Mode.optional(),
  owner: Account.optional(),
  group: Account.optional(),
  state: z.enum(['present', 'absent']).default('present'),
};

interface TextFile {
  insert_after?: string | undefined;
  insert_before?: string | undefined;
  create: boolean;
  state: 'present' | 'absent';
}

/** What of {@link TEXT_FILE} contradicts itself, in words; undefined: nothing. */
export function contradictionIn(input: TextFile): string | undefined {
  if (given({ ...input }, ['insert_after', 'insert_before']).length > 1)
    return 'give at most one of insert_after and insert_before';
  const stated = given({ ...input }, ['insert_after', 'insert_before', 'mode', 'owner', 'group']);
  if (input.state === 'absent' && (input.create || stated.length > 0))
    return 'state: absent only takes text out: it has no insert_after, insert_before, create, mode or owner';
  return undefined;
}

/** A regular file as it is left. */
export const FileLeft = z.object({
  path: z.string(),
  /** Absent when the file is. */
  sha256: z.string().optional(),
  mode: z.string().optional(),
});
