/** What the scripts of all shells are made from: the commands, their options and values. */
import type { Command } from 'commander';

/** What is only known when it is asked for: `kk-controller completion nodes` prints the names, for these scripts. */
export const NAMED = ['nodes', 'runs', 'actions'] as const;
export type Named = (typeof NAMED)[number];

/** What an argument or the value of an option names, by the word that stands for it in `--help`. */
const NAMED_BY: Readonly<Record<string, Named>> = {
  node: 'nodes',
  nodes: 'nodes',
  selector: 'nodes',
  run: 'runs',
  action: 'actions',
};

/** A command and what may follow it. */
export interface Entry {
  /** Words that lead there: `token create`. */
  path: string;
  about: string;
  commands: { name: string; about: string }[];
  options: { names: string[]; about: string; takesValue: boolean; choices: string[]; named: Named | undefined }[];
  choices: string[];
  named: Named | undefined;
}

/** Options whose value is a folder. */
export const FOLDERS = ['--state', '--playbook-path'];

/** The command and all below it. */
export function entriesOf(command: Command, path: string): Entry[] {
  const help = command.createHelp();
  const own: Entry = {
    path,
    about: command.description(),
    commands: command.commands.map((child) => ({ name: child.name(), about: child.description() })),
    options: help.visibleOptions(command).map((option) => ({
      names: [option.short, option.long].filter((name) => name !== undefined),
      about: option.description,
      takesValue: option.required || option.optional,
      choices: option.argChoices ?? [],
      named: NAMED_BY[/[<[]([a-z]+)[\]>]$/.exec(option.flags)?.[1] ?? ''],
    })),
    choices: command.registeredArguments[0]?.argChoices ?? [],
    named: NAMED_BY[command.registeredArguments[0]?.name() ?? ''],
  };
  return [own, ...command.commands.flatMap((child) => entriesOf(child, `${path} ${child.name()}`.trim()))];
}
