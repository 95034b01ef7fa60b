import { isTemplate } from '../../shared/expr/index.ts';
import type { Common, Json, RecoverTask, Share, TaskSpec } from '../../shared/share.ts';

/**
 * Does any task of the share read facts? An `exec` on many nodes should not gather and send them for nothing, whatever its
 * command line, its name or its action is called. Pure.
 */
export function readsFacts(share: Share, common: Common): boolean {
  return share.tasks.some((index) => {
    const task = common.tasks[index];
    return (
      task !== undefined && [task, ...(task.recover ?? [])].flatMap(evaluated).some((text) => /\bfacts\b/.test(text))
    );
  });
}

/** The texts of a task that are templates or conditions. */
function evaluated(task: TaskSpec | RecoverTask): string[] {
  const { action, inputs, vars, when } = task;
  const own = 'changedWhen' in task ? task : undefined;
  const conditions = [...when, ...(own === undefined ? [] : [...own.failedWhen, ...own.changedWhen])];
  const values = stringsOf([inputs, vars, own?.loop ?? null]);
  // The inputs of `assert` are conditions as they stand.
  const templates = values.filter((text) => action === 'assert' || isTemplate(text));
  return [...conditions.map(({ text }) => text), ...(own?.until === undefined ? [] : [own.until.text]), ...templates];
}

function stringsOf(value: Json): string[] {
  if (typeof value === 'string') return [value];
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(stringsOf) : [];
}
