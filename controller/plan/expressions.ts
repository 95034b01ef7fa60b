import { analyse, ExprError, type FreeVariable, parseExpression, parseTemplate } from '../../shared/expr/index.ts';
import type { Vars } from '../../shared/share.ts';
import type { Problems } from './problems.ts';
import type { RoleRead } from './role.ts';
import { roleFileUses } from './role-files.ts';
import type { TaskRead } from './task.ts';
import type { Plan } from './types.ts';
import type { Use } from './uses.ts';
import type { PlanPlay } from './validate.ts';
import { VariableCheck } from './variables.ts';

/** Every template and condition of the plan is one, and names only variables that can be there. */
export function checkExpressions(plan: Plan, plays: readonly PlanPlay[], runVars: Vars, problems: Problems): void {
  const parsed = new Map<Use, readonly FreeVariable[]>();
  const free = (use: Use): readonly FreeVariable[] => {
    const known = parsed.get(use);
    if (known) return known;
    const found = freeVariables(use, problems);
    parsed.set(use, found);
    return found;
  };
  const check = new VariableCheck(plan, runVars, problems);
  for (const { play, read, roles } of plays) {
    const asides = [...read.uses, ...read.roles.flatMap(({ uses }) => uses)].map((use) => ({ use, free: free(use) }));
    for (const [index, found] of roles.entries()) {
      const roleUse = play.roles[index];
      if (!found || !roleUse) continue;
      for (const task of found.tasks) {
        const uses = usesOf(found, task, problems).map((use) => ({ use, free: free(use) }));
        check.task(play, roleUse, found.role, task, uses);
      }
    }
    check.aside(play, roles, asides);
  }
}

/** What a task evaluates: its own texts, its template's, and those of its `recover` and `rollback` tasks, which see more and more names. */
function usesOf(found: RoleRead, task: TaskRead, problems: Problems): Use[] {
  const uses = [...task.uses, ...roleFileUses(found, task, problems)];
  const more: string[] = [];
  for (const one of task.recover) {
    const { vars, register } = one.document;
    const seen = { item: task.document.loop !== undefined, more: [...more, ...Object.keys(vars)] };
    for (const use of [...one.uses, ...roleFileUses(found, one, problems)]) uses.push({ ...use, ...seen });
    if (register) more.push(register.name);
  }
  // What undoes a step sees what it and all before it have bound.
  const bound = task.document.register === undefined ? [] : [task.document.register.name];
  for (const one of task.rollback) {
    const { vars, register } = one.document;
    const more = [...bound, ...Object.keys(vars)];
    for (const use of [...one.uses, ...roleFileUses(found, one, problems)])
      uses.push({
        ...use,
        more: [...more, ...(use.item ? ['item', 'loop_index'] : []), ...(register ? [register.name] : [])],
        item: false,
      });
    if (register) bound.push(register.name);
  }
  return uses;
}

function freeVariables(use: Use, problems: Problems): readonly FreeVariable[] {
  try {
    const parse = use.kind === 'template' ? parseTemplate : parseExpression;
    return analyse(parse(use.text, use.origin)).free;
  } catch (thrown) {
    if (!(thrown instanceof ExprError)) throw thrown;
    const remedy = thrown.hint ? sentence(thrown.hint) : `Correct the ${use.kind}.`;
    problems.add('PLAN_EXPRESSION', thrown.origin, sentence(thrown.message), remedy);
    return [];
  }
}

function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}${/[.?!]$/.test(text) ? '' : '.'}`;
}
