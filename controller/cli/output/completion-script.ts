import type { Command } from 'commander';

export const SHELLS = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof SHELLS)[number];

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

interface Entry {
  /** Words that lead there: `token create`. */
  path: string;
  about: string;
  commands: { name: string; about: string }[];
  options: { names: string[]; about: string; takesValue: boolean; choices: string[]; named: Named | undefined }[];
  choices: string[];
  named: Named | undefined;
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
      named: NAMED_BY[/[<[]([a-z]+)[\]>]$/.exec(option.flags)?.[1] ?? ''],
    })),
    choices: command.registeredArguments[0]?.argChoices ?? [],
    named: NAMED_BY[command.registeredArguments[0]?.name() ?? ''],
  };
  return [own, ...command.commands.flatMap((child) => entriesOf(child, `${path} ${child.name()}`.trim()))];
}

/** Words by the commands typed so far, names asked for from the program itself; files where nothing else fits. */
function bashScript(name: string, entries: readonly Entry[]): string {
  const words = (entry: Entry): string =>
    [
      ...entry.commands.map((child) => child.name),
      ...entry.choices,
      ...entry.options.flatMap(({ names }) => names),
    ].join(' ');
  const valued = entries.flatMap(({ options }) => options.filter((option) => option.takesValue));
  const chosen = valued.filter((option) => option.choices.length > 0);
  const choices = new Map(chosen.map((option) => [option.names.join('|'), option.choices.join(' ')]));
  const named = Map.groupBy(
    valued.filter((option) => option.choices.length === 0 && option.named),
    (option) => option.named,
  );
  const isOther = ({ choices, named, names }: Entry['options'][number]): boolean =>
    choices.length === 0 && named === undefined && !names.some((option) => FOLDERS.includes(option));
  const flagsOf = (options: readonly Entry['options'][number][]): string =>
    [...new Set(options.flatMap(({ names }) => names))].join('|');
  const paths = entries.filter(({ path }) => path !== '').map(({ path }) => `'${path}'`);
  return `_kk_controller() {
  local cur="\${COMP_WORDS[COMP_CWORD]}" prev="\${COMP_WORDS[COMP_CWORD-1]}" path='' word i words='' names='' state=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    word="\${COMP_WORDS[i]}"
    [ "$word" != --state ] || state=(--state "\${COMP_WORDS[i+1]}")
    case "\${path:+$path }$word" in
      ${paths.join('|')}) path="\${path:+$path }$word" ;;
    esac
  done
  case "$prev" in
    ${[...choices].map(([flags, list]) => `${flags}) words='${list}' ;;`).join('\n    ')}
    ${FOLDERS.join('|')}) COMPREPLY=($(compgen -d -- "$cur")); return ;;
    ${[...named].map(([kind, options]) => `${flagsOf(options)}) names=${kind} ;;`).join('\n    ')}
    ${flagsOf(valued.filter(isOther))}) return ;;
    *)
      case "$path" in
        ${entries.map((entry) => `'${entry.path}') words='${words(entry)}' names='${entry.named ?? ''}' ;;`).join('\n        ')}
      esac ;;
  esac
  case "$names:$cur" in
    :*|*:-*) ;;
    *) words="$words $("\${COMP_WORDS[0]}" "\${state[@]}" completion "$names" 2>/dev/null)" ;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
  [ \${#COMPREPLY[@]} -gt 0 ] || COMPREPLY=($(compgen -f -- "$cur"))
}
complete -o filenames -F _kk_controller ${name}`;
}

/** Options whose value is a folder. */
const FOLDERS = ['--state', '--playbook-path'];

function fish(name: string, entries: readonly Entry[]): string {
  const quoted = (text: string): string => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
  const argumentOf = (option: Entry['options'][number]): string => {
    if (option.choices.length > 0) return ` -x -a ${quoted(option.choices.join(' '))}`;
    if (option.named) return ` -x -a ${asked(option.named)}`;
    return option.takesValue ? ' -r' : '';
  };
  const asked = (kind: Named): string => quoted(`(${name} completion ${kind} 2>/dev/null)`);
  const lines = entries.flatMap(({ path, commands, options, choices, named }) => {
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
      ...(named ? [`${head} -f -a ${asked(named)}`] : []),
      ...options.map((option) => {
        const names = option.names.map((word) =>
          word.startsWith('--') ? `-l ${word.slice(2)}` : `-s ${word.slice(1)}`,
        );
        return `${head} ${names.join(' ')}${argumentOf(option)} -d ${quoted(option.about)}`;
      }),
    ];
  });
  return lines.join('\n');
}
