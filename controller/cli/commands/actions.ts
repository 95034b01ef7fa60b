import { Command } from 'commander';
import { isPlanAction, PLAN_ACTIONS } from '../../../shared/actions/index.ts';
import { KkError } from '../../../shared/errors.ts';
import { suggest } from '../../plan/index.ts';
import { actionView } from '../../views/action-view.ts';
import type { Cli } from '../cli.ts';
import { type Format, withOutput } from '../options.ts';
import { actionLines, actionRows } from '../output/actions-text.ts';

export function actionsCommand(cli: Cli): Command {
  const command = withOutput(new Command('actions'))
    .description('Show what a task can do: each action with its inputs, an example, and what undoes it')
    .argument('[action]', 'one of them, whole')
    .addHelpText(
      'after',
      `
Needs no controller. Editors complete the same from docs/reference/plan.schema.json.

Examples:
  kk-controller actions
  kk-controller actions systemd
  kk-controller actions -o json | jq -r '.[] | select(.undo == "cannot") | .action'`,
    );
  return cli.action(command, async (name: string | undefined, { output: format }: { output: Format }) => {
    if (name === undefined) {
      const all = PLAN_ACTIONS.map((kind) => actionView(kind));
      cli.show(format, all, () => actionRows(all));
      return 0;
    }
    if (!isPlanAction(name)) {
      throw new KkError({
        code: 'ACTION_UNKNOWN',
        message: `There is no action "${name}".`,
        remedy: suggest(name, PLAN_ACTIONS),
      });
    }
    const view = actionView(name);
    cli.show(format, view, () => actionLines(view, cli.colors));
    return 0;
  });
}
