/** Texts of a task evaluated in a scope; every error comes out coded, with the place in the user's file. */

import { KkError } from './errors.ts';
import {
  compileValue,
  ExprError,
  evaluate,
  evaluateValue,
  type Origin,
  parseExpression,
  parseTemplate,
  render,
  type Scope,
  truthy,
} from './expr/index.ts';
import type { Json, Place, SourceText, TaskSpec } from './share.ts';

const REMEDY: Readonly<Record<string, string>> = {
  EXPR_SYNTAX: 'Mend the expression in the file.',
  EXPR_UNDEFINED: 'Define the variable, or give a default: {{ name | default(…) }}.',
  EXPR_TYPE: 'Give a value of the right type, or convert it with a filter.',
  EXPR_LIMIT: 'Make the expression smaller.',
  EXPR_FILTER: 'See the list of filters and tests in the documentation of expressions.',
};

/** Runs `work`; an ExprError becomes a KkError with its code and place. */
export function withPlace<T>(work: () => T): T {
  try {
    return work();
  } catch (thrown) {
    if (!(thrown instanceof ExprError)) throw thrown;
    const { code, message, origin, hint } = thrown;
    const { file, line, column } = origin;
    throw new KkError({
      code,
      message: `${message}${hint === undefined ? '' : ` (${hint})`}.`,
      remedy: REMEDY[code] ?? 'Mend the expression in the file.',
      position: { file, line, column },
      cause: thrown,
    });
  }
}

/** The place of a JSON pointer in a task, or of the nearest part around it that is known, or of the task itself. */
export function originOf(spec: TaskSpec, pointer: string): Origin {
  for (let at = pointer; at !== ''; at = at.slice(0, at.lastIndexOf('/'))) {
    const place = spec.places[at];
    if (place !== undefined) return origin(spec.file, place);
  }
  return origin(spec.file, spec.at);
}

function origin(file: string, [line, column]: Place): Origin {
  return { file, line, column };
}

/** A condition's truth. Throws KkError EXPR_*. */
export function holds(condition: SourceText, file: string, scope: Scope): boolean {
  return withPlace(() => truthy(evaluate(parseExpression(condition.text, origin(file, condition.at)), scope)));
}

/** A value as written at a JSON pointer of the task: strings that hold templates are rendered, the rest stays. Throws KkError EXPR_*. */
export function renderDeep(value: Json, spec: TaskSpec, pointer: string, scope: Scope): Json {
  const origin = (path: readonly (string | number)[]): Origin =>
    originOf(
      spec,
      path.reduce<string>((at, part) => `${at}/${escaped(String(part))}`, pointer),
    );
  return withPlace(() => evaluateValue(compileValue(value, origin), scope));
}

/** A whole file's text rendered. Throws KkError EXPR_* with a place in that file. */
export function renderFile(text: string, file: string, scope: Scope): string {
  const value = withPlace(() => render(parseTemplate(text, { file, line: 1, column: 1 }), scope));
  return typeof value === 'string' ? value : JSON.stringify(value);
}

/** One segment of a JSON pointer (RFC 6901). */
export function escaped(key: string): string {
  return key.replaceAll('~', '~0').replaceAll('/', '~1');
}
