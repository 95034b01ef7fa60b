import {
  type ActionComments,
  type ActionView,
  actionView,
  type FieldView,
  UNDO_TEXT,
} from '../../controller/views/action-view.ts';
import { PLAN_ACTIONS } from '../../shared/actions/index.ts';
import { actionComments } from './action-comments.ts';
import { cell } from './markdown.ts';

/** The page of the actions that a plan may name. */
export async function actionsPage(): Promise<string> {
  const comments = JSON.parse(await actionComments()) as Record<string, ActionComments>;
  const views = PLAN_ACTIONS.map((kind) => actionView(kind, comments));
  const rows = views.map(
    ({ action, summary, undo }) => `| [\`${action}\`](#${action}) | ${cell(summary)} | ${UNDO_TEXT[undo]} |`,
  );
  return `# Actions

Made by \`npm run generate\` from the contracts in [shared/actions](../../shared/actions); \`kk-controller actions\` tells the same.
Their inputs with all limits are in [plan.schema.json](plan.schema.json); what undoing restores, and when it refuses, is in
[plan.md](../plan.md#undoing).

| action | what it makes so | a rollback |
|---|---|---|
${rows.join('\n')}

${views.map(section).join('\n')}`;
}

function section(view: ActionView): string {
  const { action, about, inputs, output, example, place } = view;
  const written = place === undefined ? { [action]: example } : { on: place, [action]: example };
  return `## ${action}

${about ?? ''}${place === undefined ? '' : ' Done by the controller itself: the task says `on: controller`.'}

${fields('input', inputs)}${fields('register keeps', output)}For example:

\`\`\`json
${JSON.stringify(written)}
\`\`\`
`;
}

function fields(head: string, views: readonly FieldView[]): string {
  if (views.length === 0) return '';
  const rows = views.map(({ name, type, required, default: usual, about }) => {
    const need = usual === undefined ? (required ? 'required' : '') : `\`${cell(JSON.stringify(usual))}\``;
    return `| \`${name}\` | ${cell(type)} | ${head === 'input' ? need : required ? 'always' : ''} | ${cell(about ?? '')} |`;
  });
  const third = head === 'input' ? 'default' : 'there';
  return `| ${head} | type | ${third} | |\n|---|---|---|---|\n${rows.join('\n')}\n\n`;
}
