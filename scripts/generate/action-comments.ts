import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import ts from 'typescript';
import type { ActionComments } from '../../controller/views/action-view.ts';

const FOLDER = join(import.meta.dirname, '../../shared/actions');

/**
 * The doc comments of the contracts as data, so that `kk-controller actions` can tell people what the people who read the
 * source are told. Only what stands in the contract itself is found, not fields that it takes over from elsewhere.
 */
export async function actionComments(): Promise<string> {
  const found: Record<string, ActionComments> = {};
  for (const file of (await readdir(FOLDER)).filter((name) => name.endsWith('.ts')).sort()) {
    const source = ts.createSourceFile(file, await readFile(join(FOLDER, file), 'utf8'), ts.ScriptTarget.Latest, true);
    for (const statement of source.statements) readContract(statement, found);
  }
  return `${JSON.stringify(found, null, 2)}\n`;
}

/** `export const x = defineAction({kind: 'x', input: …, output: …})`. */
function readContract(statement: ts.Statement, found: Record<string, ActionComments>): void {
  if (!ts.isVariableStatement(statement)) return;
  for (const { initializer: call } of statement.declarationList.declarations) {
    if (!call || !ts.isCallExpression(call) || call.expression.getText() !== 'defineAction') continue;
    const [contract] = call.arguments;
    if (!contract || !ts.isObjectLiteralExpression(contract)) continue;
    const kind = propertyOf(contract, 'kind');
    if (!kind || !ts.isStringLiteral(kind)) continue;
    const about = commentOf(statement);
    found[kind.text] = {
      ...(about === undefined ? {} : { about }),
      input: fieldsOf(propertyOf(contract, 'input')),
      output: fieldsOf(propertyOf(contract, 'output')),
    };
  }
}

function propertyOf(object: ts.ObjectLiteralExpression, name: string): ts.Expression | undefined {
  const property = object.properties.find((one) => one.name?.getText() === name);
  return property && ts.isPropertyAssignment(property) ? property.initializer : undefined;
}

/** The fields of the first `z.object({…})` or `z.strictObject({…})` in a chain of calls. */
function fieldsOf(expression: ts.Expression | undefined): Record<string, string> {
  let at = expression;
  while (at && ts.isCallExpression(at)) {
    const [shape] = at.arguments;
    if (
      /^z\s*\.(?:strictObject|object)$/.test(at.expression.getText()) &&
      shape &&
      ts.isObjectLiteralExpression(shape)
    ) {
      const said = shape.properties.map((field) => [field.name?.getText() ?? '', commentOf(field)] as const);
      return Object.fromEntries(said.filter((pair): pair is readonly [string, string] => pair[1] !== undefined));
    }
    at = ts.isPropertyAccessExpression(at.expression) ? at.expression.expression : undefined;
  }
  return {};
}

/** The text of the doc comment before a node, on one line. */
function commentOf(node: ts.Node): string | undefined {
  const text = node.getFullText();
  const comments = ts.getLeadingCommentRanges(text, 0) ?? [];
  const last = comments.map(({ pos, end }) => text.slice(pos, end)).findLast((comment) => comment.startsWith('/**'));
  return last
    ?.slice(3, -2)
    .split('\n')
    .map((line) => line.replace(/^\s*\*/, '').trim())
    .join(' ')
    .trim();
}
