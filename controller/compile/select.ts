import type { TaskDocument } from '../plan/types.ts';

export interface SelectOptions {
  /** Only tasks with one of these tags (or `always`); empty: all. */
  tags: readonly string[];
  skipTags: readonly string[];
}

/** Does the task take part in the run? Its role's tags count as its own. */
export function isSelected(task: TaskDocument, roleTags: readonly string[], options: SelectOptions): boolean {
  const tags = [...task.tags, ...roleTags];
  if (tags.some((tag) => options.skipTags.includes(tag))) return false;
  return options.tags.length === 0 || tags.includes('always') || tags.some((tag) => options.tags.includes(tag));
}
