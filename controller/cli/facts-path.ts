import { KkError } from '../../shared/errors.ts';
import { ExprError, type Expression, evaluate, parseExpression, scopeOf, type Value } from '../../shared/expr/index.ts';
import type { ToldFacts } from './output/facts-text.ts';

/** A part of the facts: an expression below `facts`. */
export interface FactsPath {
  text: string;
  expression: Expression;
}

/** What one node has at the paths; absent where it has no such part. */
export interface FactsValues {
  node: string;
  values: Record<string, Value>;
}

/** Paths as a person writes them: `os.id`, `filesystems | length`. Throws KkError FACTS_PATH. */
export function pathsOf(texts: readonly string[]): FactsPath[] {
  return texts.map((text) => ({ text, expression: within(text, () => parseExpression(`facts.${text}`, ORIGIN)) }));
}

/** Throws KkError FACTS_PATH for a path that is on none of the nodes, or makes no sense. */
export function valuesAt(paths: readonly FactsPath[], told: readonly ToldFacts[]): FactsValues[] {
  const rows = told.map(({ node }): FactsValues => ({ node, values: {} }));
  for (const { text, expression } of paths) {
    let missing: unknown;
    let found = 0;
    for (const [at, { facts }] of told.entries()) {
      try {
        const value = evaluate(expression, scopeOf({ facts: facts as unknown as Value }));
        const row = rows[at];
        if (row) row.values[text] = value;
        found += 1;
      } catch (thrown) {
        // What one node does not have (a model, a speed), another one may.
        if (!(thrown instanceof ExprError) || thrown.code !== 'EXPR_UNDEFINED') throw inPath(text, thrown);
        missing = thrown;
      }
    }
    if (found === 0 && missing !== undefined) throw inPath(text, missing);
  }
  return rows;
}

const ORIGIN = { file: '--path', line: 1, column: 1 };

function within<T>(text: string, work: () => T): T {
  try {
    return work();
  } catch (thrown) {
    throw inPath(text, thrown);
  }
}

function inPath(text: string, thrown: unknown): unknown {
  if (!(thrown instanceof ExprError)) return thrown;
  const hint = thrown.hint === undefined ? '' : ` (${thrown.hint})`;
  return new KkError({
    code: 'FACTS_PATH',
    message: `The path ${text} leads nowhere: ${thrown.message}${hint}.`,
    remedy: 'Write it as below `facts` in a template, such as os.id; `-o yaml` without --path shows all there is.',
  });
}
