import { type Problems, slipOf, suggest } from './problems.ts';
import type { NeedDocument } from './types.ts';
import type { PlanPlay } from './validate.ts';

/**
 * Every stated need names something: a task of the same role (by id or name), a task of another one (by id or name, or
 * as `role/id`), a role or a play. Which task is meant when several fit, and cycles, are for compile to say.
 */
export function checkNeeds(plays: readonly PlanPlay[], problems: Problems): void {
  const playNames = plays.map(({ play }) => play.name);
  const roleNames = new Set(plays.flatMap(({ play }) => play.roles.map((use) => use.role)));
  const tasks = new Set<string>();
  for (const { roles } of plays) {
    for (const found of roles) {
      for (const { document } of found?.tasks ?? []) {
        for (const name of [document.id, document.name]) tasks.add(name);
        tasks.add(`${found?.role.name}/${document.id}`);
      }
    }
  }
  const known: Record<NeedDocument['target'], ReadonlySet<string>> = {
    play: new Set(playNames),
    role: roleNames,
    task: tasks,
  };
  for (const { roles } of plays) {
    for (const found of roles) {
      for (const { document } of found?.tasks ?? []) {
        for (const need of document.needs ?? []) {
          if (known[need.target].has(need.name)) continue;
          const message = `The task "${document.name}" needs the ${need.target} "${need.name}", which is not there.`;
          const near =
            need.target === 'task'
              ? [...(found?.tasks ?? []).map((task) => task.document.id), ...tasks]
              : known[need.target];
          if (problems.hasGaps && !slipOf(need.name, near)) continue;
          problems.add('PLAN_NEED_UNKNOWN', need.at, message, suggest(need.name, near));
        }
      }
    }
  }
}
