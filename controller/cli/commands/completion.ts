import { Argument, Command } from 'commander';
import { PLAN_ACTIONS } from '../../../shared/actions/index.ts';
import type { Cli } from '../cli.ts';
import { NAMED, type Named } from '../output/completion-entries.ts';
import { completionScript, SHELLS, type Shell } from '../output/completion-script.ts';

/** Runs that are offered: who wants an older one looks it up. */
const MOST_RUNS = 50;

export function completionCommand(cli: Cli): Command {
  const command = new Command('completion')
    .description('Print a completion script for a shell')
    .addArgument(
      new Argument('<shell>', 'a shell; the others are the names that its script asks for').choices([
        ...SHELLS,
        ...NAMED,
      ]),
    )
    .addHelpText(
      'after',
      `
It completes commands, options and their values, and the names of nodes, runs and actions.

Examples:
  source <(kk-controller completion bash)
  kk-controller completion zsh > "\${fpath[1]}/_kk-controller"
  kk-controller completion fish > ~/.config/fish/completions/kk-controller.fish`,
    );
  return cli.action(command, async (what: Shell | Named) => {
    if (isNamed(what)) cli.print(await namesOf(cli, what).catch((): string[] => []));
    else if (command.parent) cli.print(completionScript(what, command.parent));
    return 0;
  });
}

function isNamed(what: Shell | Named): what is Named {
  return (NAMED as readonly string[]).includes(what);
}

/** Of a controller that runs: nobody wants one to start at a press of the tab key. */
async function namesOf(cli: Cli, what: Named): Promise<string[]> {
  if (what === 'actions') return [...PLAN_ACTIONS];
  if (what === 'nodes') return ['all', ...(await cli.client.nodes()).map(({ name }) => name)];
  return ['last', ...(await cli.client.runs(MOST_RUNS)).map(({ id }) => id)];
}
