import type { Command } from 'commander';

export const SHELLS = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof SHELLS)[number];

interface Entry {
  /** Words that lead there: `token create`. */
  path: string;
  about: string;
  commands: { name: string; about: string }[];
  options: { names: string[]; about: string; takesValue: boolean; choices: string[] }[];
  choices: string[];
}

/** A completion script made from the program itself, so that it always fits. */
export function completionScript(shell: Shell, program: Command): string {
  const entries = entriesOf(program, '');
  if (shell === 'fish') return fish(program.name(), entries);
  const bash = bashScript(program.name(), entries);
  return shell === 'bash' ? bash : `#compdef ${program.name()}\nautoload -U +X bashcompinit && bashcompinit\n${bash}`;
}

function entriesOf(command: Command, path: string): Entry[] {
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
    })),
    choices: command.registeredArguments[0]?.argChoices ?? [],
  };
  return [own, ...command.commands.flatMap((child) => entriesOf(child, `${path} ${child.name()}`.trim()))];
}

/** Words by the commands typed so far; files where nothing else fits. */
function bashScript(name: string, entries: readonly Entry[]): string {
  const words = (entry: Entry): string =>
    [
      ...entry.commands.map((child) => child.name),
      ...entry.choices,
      ...entry.options.flatMap(({ names }) => names),
    ].join(' ');
  const valued = new Set(entries.flatMap(({ options }) => options.filter((o) => o.takesValue).flatMap((o) => o.names)));
  const chosen = entries.flatMap(({ options }) => options.filter((option) => option.choices.length > 0));
  const choices = new Map(chosen.map((option) => [option.names.join('|'), option.choices.join(' ')]));
  const paths = entries.filter(({ path }) => path !== '').map(({ path }) => `'${path}'`);
  return `_kk_controller() {
  local cur="\${COMP_WORDS[COMP_CWORD]}" prev="\${COMP_WORDS[COMP_CWORD-1]}" path='' word i words=''
  for ((i = 1; i < COMP_CWORD; i++)); do
    word="\${COMP_WORDS[i]}"
    case "\${path:+$path }$word" in
      ${paths.join('|')}) path="\${path:+$path }$word" ;;
    esac
  done
  case "$prev" in
    ${[...choices].map(([names, list]) => `${names}) words='${list}' ;;`).join('\n    ')}
    --state|--playbook-path) COMPREPLY=($(compgen -d -- "$cur")); return ;;
    ${[...valued]
      .filter((option) => ![...choices.keys()].some((names) => names.split('|').includes(option)))
      .filter((option) => option !== '--state' && option !== '--playbook-path')
      .join('|')}) return ;;
    *)
      case "$path" in
        ${entries.map((entry) => `'${entry.path}') words='${words(entry)}' ;;`).join('\n        ')}
      esac ;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
  [ \${#COMPREPLY[@]} -gt 0 ] || COMPREPLY=($(compgen -f -- "$cur"))
}
complete -o filenames -F _kk_controller ${name}`;
}

function fish(name: string, entries: readonly Entry[]): string {
  const quoted = (text: string): string => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
  const lines = entries.flatMap(({ path, commands, options, choices }) => {
    const seen = path.split(' ').filter((word) => word !== '');
    const inner = commands.map((child) => child.name);
    const here = [
      ...seen.map((word) => `__fish_seen_subcommand_from ${word}`),
      ...(inner.length > 0 ? [`not __fish_seen_subcommand_from ${inner.join(' ')}`] : []),
    ].join('; and ');
    const head = `complete -c ${name} -n ${quoted(here)}`;
    return [
      ...commands.map((child) => `${head} -f -a ${child.name} -d ${quoted(child.about)}`),
      ...(choices.length > 0 ? [`${head} -f -a ${quoted(choices.join(' '))}`] : []),
      ...options.map((option) => {
        const names = option.names.map((word) =>
          word.startsWith('--') ? `-l ${word.slice(2)}` : `-s ${word.slice(1)}`,
        );
        const value =
          option.choices.length > 0 ? ` -x -a ${quoted(option.choices.join(' '))}` : option.takesValue ? ' -r' : '';
        return `${head} ${names.join(' ')}${value} -d ${quoted(option.about)}`;
      }),
    ];
  });
  return lines.join('\n');
}
