import { ACTIONS, PLAN_ACTIONS } from '../../shared/actions/index.ts';

/** What a rollback does about an action, for people. A new value without its line does not compile. */
const UNDO: Readonly<Record<(typeof ACTIONS)[keyof typeof ACTIONS]['undo'], string>> = {
  restores: 'brings back what was there before',
  nothing: 'nothing: it changes nothing that stays',
  cannot: 'cannot, and says so before it begins; `rollback:` tasks can',
};

/** The page of the actions that a plan may name. */
export async function actionsPage(): Promise<string> {
  const rows = PLAN_ACTIONS.map((kind) => {
    const { summary, undo, example } = ACTIONS[kind];
    return `| \`${kind}\` | ${summary.replaceAll('|', '\\|')} | ${UNDO[undo]} | \`${JSON.stringify(example).replaceAll('|', '\\|')}\` |`;
  });
  return `# Actions

Made by \`npm run generate\` from the contracts in [shared/actions](../../shared/actions). Their inputs with all limits are in
[plan.schema.json](plan.schema.json); what undoing restores, and when it refuses, is in [plan.md](../plan.md#undoing).

| action | what it makes so | a rollback | inputs, for example |
|---|---|---|---|
${rows.join('\n')}
`;
}
