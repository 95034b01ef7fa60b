import type { TaskDocument } from '../plan/types.ts';

export interface SelectOptions {
  /** Only tasks with one of these tags (or `always`); empty: all. */
  tags: readonly string[];
  skipTags: readonly string[];
}

/** The tag that every task of a play has, and of its hooks: `--phase`. No tag that a person writes holds a colon. */
export function phaseTag(play: string): string {
  return `phase:${play}`;
}

/** Does the task take part in the run? Its role's tags count as its own. What a person is asked is asked whatever is chosen. */
export function isSelected(task: TaskDocument, roleTags: readonly string[], options: SelectOptions): boolean {
  if (task.action === 'confirm') return true;
  const tags = [...task.tags, ...roleTags];
  if (tags.some((tag) => options.skipTags.includes(tag))) return false;
  return options.tags.length === 0 || tags.includes('always') || tags.some((tag) => options.tags.includes(tag));
}
