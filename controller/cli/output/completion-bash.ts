import { type Entry, FOLDERS } from './completion-entries.ts';

/** Words by the commands typed so far, names asked for from the program itself; files where nothing else fits. */
export function bashScript(name: string, entries: readonly Entry[]): string {
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
