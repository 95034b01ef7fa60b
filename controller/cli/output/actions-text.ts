import { stringify } from 'yaml';
import { type ActionView, type FieldView, UNDO_TEXT } from '../../views/action-view.ts';
import type { Colors } from './colors.ts';
import { table } from './table.ts';

/** The catalogue, a line for each. */
export function actionRows(actions: readonly ActionView[]): string[] {
  const rows = actions.map(({ action, changes, undo, summary }) => [action, changes ? 'yes' : 'no', undo, summary]);
  return table(['action', 'changes', 'rollback', 'what it makes so'], rows);
}

const AGAIN: Readonly<Record<ActionView['repeatable'], string>> = {
  yes: 'looks what is left to do, and does that',
  no: 'is not run again by itself: nothing can say how far it came',
  'by inputs': 'only where its inputs say when nothing is to do; else a person must look',
};

/** One action as the author of a task needs it. */
export function actionLines(view: ActionView, colors: Colors): string[] {
  const { action, summary, about, changes, repeatable, undo, shorthand, inputs, output, example } = view;
  const facts = table(
    [],
    [
      ['changes the node', changes ? 'yes' : 'no'],
      ['after a crash', AGAIN[repeatable]],
      ['a rollback', UNDO_TEXT[undo]],
      ...(shorthand ? [['short form', 'its inputs may be given without a map']] : []),
    ],
  );
  return [
    `${colors.bold(action)}: ${summary}`,
    ...(about === undefined ? [] : [about]),
    '',
    ...facts,
    '',
    'Inputs',
    ...(inputs.length === 0 ? ["  none, or names of the author's own"] : fieldLines(inputs, colors)),
    ...(output.length === 0 ? [] : ['', 'What register keeps', ...fieldLines(output.map(unasked), colors)]),
    '',
    'Example',
    ...stringify([{ [action]: example }], { lineWidth: 0 })
      .trimEnd()
      .split('\n')
      .map((line) => `  ${line}`),
  ];
}

function fieldLines(fields: readonly FieldView[], colors: Colors): string[] {
  const rows = fields.map((field) => [field.name, sortOf(field)]);
  const drawn = table([], rows);
  return fields.flatMap(({ about }, at) => [
    `  ${drawn[at] ?? ''}`,
    ...(about === undefined ? [] : [`      ${colors.dim(about)}`]),
  ]);
}

function sortOf(field: FieldView): string {
  if (field.default !== undefined) return `${field.type}; default ${JSON.stringify(field.default)}`;
  return field.required ? `${field.type}; required` : field.type;
}

/** Of what is put out nothing is asked for. */
function unasked(field: FieldView): FieldView {
  return { ...field, required: false };
}
