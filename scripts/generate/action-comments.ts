import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import ts from 'typescript';
import type { ActionComments } from '../../controller/views/action-view.ts';

const FOLDER = join(import.meta.dirname, '../../shared/actions');

/** What the files of the folder declare, by name: contracts share fields and shapes. */
type Declared = ReadonlyMap<string, ts.Expression>;

/**
 * The doc comments of the contracts as data, so that `kk-controller actions` can tell people what the people who read the
 * source are told; those of fields that several contracts share are found where they are declared.
 */
export async function actionComments(): Promise<string> {
  const files = (await readdir(FOLDER)).filter((name) => name.endsWith('.ts')).sort();
  const statements: ts.VariableStatement[] = [];
  for (const file of files) {
    const source = ts.createSourceFile(file, await readFile(join(FOLDER, file), 'utf8'), ts.ScriptTarget.Latest, true);
    statements.push(...source.statements.filter(ts.isVariableStatement));
  }
  const declared = new Map<string, ts.Expression>();
  for (const { declarationList } of statements)
    for (const { name, initializer } of declarationList.declarations)
      if (initializer) declared.set(name.getText(), initializer);
  const found: Record<string, ActionComments> = {};
  for (const statement of statements) readContract(statement, declared, found);
  return `${JSON.stringify(found, null, 2)}\n`;
}

/** `export const x = defineAction({kind: 'x', input: …, output: …})`. */
function readContract(
  statement: ts.VariableStatement,
  declared: Declared,
  found: Record<string, ActionComments>,
): void {
  for (const { initializer: call } of statement.declarationList.declarations) {
    if (!call || !ts.isCallExpression(call) || call.expression.getText() !== 'defineAction') continue;
    const [contract] = call.arguments;
    if (!contract || !ts.isObjectLiteralExpression(contract)) continue;
    const kind = propertyOf(contract, 'kind');
    if (!kind || !ts.isStringLiteral(kind)) continue;
    const about = commentOf(statement);
    found[kind.text] = {
      ...(about === undefined ? {} : { about }),
      input: fieldsOf(propertyOf(contract, 'input'), declared),
      output: fieldsOf(propertyOf(contract, 'output'), declared),
    };
  }
}

function propertyOf(object: ts.ObjectLiteralExpression, name: string): ts.Expression | undefined {
  const property = object.properties.find((one) => one.name?.getText() === name);
  return property && ts.isPropertyAssignment(property) ? property.initializer : undefined;
}

/** The fields of the first `z.object({…})` or `z.strictObject({…})` in a chain of calls, or of what the expression names. */
function fieldsOf(expression: ts.Expression | undefined, declared: Declared): Record<string, string> {
  for (let at = expression; at; ) {
    if (ts.isIdentifier(at)) at = declared.get(at.text);
    else if (!ts.isCallExpression(at)) return {};
    else {
      const [shape] = at.arguments;
      const isObject = /^z\s*\.(?:strictObject|object)$/.test(at.expression.getText());
      if (isObject && shape && ts.isObjectLiteralExpression(shape)) return Object.fromEntries(saidIn(shape, declared));
      at = ts.isPropertyAccessExpression(at.expression) ? at.expression.expression : undefined;
    }
  }
  return {};
}

/** Each field with its comment; `...shared` brings those of `shared`. */
function saidIn(shape: ts.ObjectLiteralExpression, declared: Declared): [string, string][] {
  return shape.properties.flatMap((field) => {
    if (ts.isSpreadAssignment(field)) {
      const shared = declared.get(field.expression.getText());
      return shared && ts.isObjectLiteralExpression(shared) ? saidIn(shared, declared) : [];
    }
    const said = commentOf(field);
    return said === undefined ? [] : [[field.name.getText(), said] as [string, string]];
  });
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
