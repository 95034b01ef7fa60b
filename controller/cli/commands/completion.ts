import { Argument, Command } from 'commander';
import type { Cli } from '../cli.ts';
import { completionScript, SHELLS, type Shell } from '../output/completion-script.ts';

export function completionCommand(cli: Cli): Command {
  const command = new Command('completion')
    .description('Print a completion script for a shell')
    .addArgument(new Argument('<shell>').choices([...SHELLS]))
    .addHelpText(
      'after',
      `
Examples:
  source <(kk-controller completion bash)
  kk-controller completion zsh > "\${fpath[1]}/_kk-controller"
  kk-controller completion fish > ~/.config/fish/completions/kk-controller.fish`,
    );
  return cli.action(command, async (shell: Shell) => {
    if (command.parent) cli.print(completionScript(shell, command.parent));
    return 0;
  });
}
