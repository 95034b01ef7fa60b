/** `when` and `loop` of a task, evaluated. */
import { KkError } from './errors.ts';
import { holds, originOf, renderDeep } from './evaluate.ts';
import { analyse, parseExpression, type Scope } from './expr/index.ts';
import type { Json, SourceText, TaskSpec } from './share.ts';

/** The first condition that does not hold, in words; undefined: all hold. Throws KkError EXPR_*. */
export function whySkipped(spec: TaskSpec, conditions: readonly SourceText[], scope: Scope): string | undefined {
  const not = conditions.find((condition) => !holds(condition, spec.file, scope));
  return not === undefined ? undefined : `when: ${not.text}`;
}

/** Conditions about `item` are asked for each item of a loop, the others once before it. */
export function isOfItem(spec: TaskSpec, condition: SourceText): boolean {
  const [line, column] = condition.at;
  try {
    const { free } = analyse(parseExpression(condition.text, { file: spec.file, line, column }));
    return free.some(({ name }) => name === 'item' || name === 'loop_index');
  } catch {
    // It does not parse: evaluating it will say so, with its place.
    return false;
  }
}

/** The loop's items; undefined: no loop. Throws KkError EXPR_*, LOOP_NOT_A_LIST. */
export function loopItems(spec: TaskSpec, scope: Scope): Json[] | undefined {
  if (spec.loop === undefined) return undefined;
  const value = renderDeep(spec.loop, spec, '/loop', scope);
  if (Array.isArray(value)) return value;
  const { file, line, column } = originOf(spec, '/loop');
  throw new KkError({
    code: 'LOOP_NOT_A_LIST',
    message: `loop needs a list, and this is ${value === null ? 'null' : typeof value}.`,
    remedy: 'Give a list, or a template that yields one: {{ packages }}, {{ users | dict2items }}.',
    position: { file, line, column },
  });
}
