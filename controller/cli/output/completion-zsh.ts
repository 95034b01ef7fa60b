import { type Entry, FOLDERS } from './completion-entries.ts';

const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

/** A name with what it is about, as _describe takes them. */
const described = (name: string, about: string): string => quoted(`${name.replaceAll(':', '\\:')}:${about}`);

/**
 * Words by the commands typed so far, with what they are about; names asked for from the program itself; files where nothing else
 * fits. As a file of $fpath it completes by itself, sourced it says for what it is.
 */
export function zshScript(name: string, entries: readonly Entry[]): string {
  const valued = entries.flatMap(({ options }) => options.filter((option) => option.takesValue));
  const flags = (options: readonly Entry['options'][number][]): string =>
    [...new Set(options.flatMap(({ names }) => names))].join('|');
  const chosen = new Map(
    valued.flatMap((option) =>
      option.choices.length > 0 ? [[option.names.join('|'), option.choices.join(' ')] as const] : [],
    ),
  );
  const free = valued.filter(({ choices }) => choices.length === 0);
  const named = Map.groupBy(
    free.filter((option) => option.named !== undefined),
    (option) => option.named,
  );
  const others = free.filter((option) => !option.named && !option.names.some((one) => FOLDERS.includes(one)));
  const caseOf = (entry: Entry): string =>
    [
      `      (${quoted(entry.path)})`,
      `        names=${quoted(entry.named ?? '')}`,
      `        offered=(${[...entry.commands.map((one) => described(one.name, one.about)), ...entry.choices.map(quoted)].join(' ')})`,
      `        options=(${entry.options.flatMap((one) => one.names.map((word) => described(word, one.about))).join(' ')}) ;;`,
    ].join('\n');
  const paths = entries.filter(({ path }) => path !== '').map(({ path }) => quoted(path));
  return `#compdef ${name}
_kk_controller() {
  local at='' names='' i ret=1
  local -a state offered options found
  for ((i = 2; i < CURRENT; i++)); do
    [[ $words[i] != --state ]] || state=(--state "$words[i+1]")
    case "\${at:+$at }$words[i]" in
      (${paths.join('|')}) at="\${at:+$at }$words[i]" ;;
    esac
  done
  case "$words[CURRENT-1]" in
    ${[...chosen].map(([option, list]) => `(${option}) compadd -- ${list}; return ;;`).join('\n    ')}
    (${FOLDERS.join('|')}) _files -/; return ;;
    ${[...named].map(([kind, options]) => `(${flags(options)}) names=${kind} ;;`).join('\n    ')}
    (${flags(others)}) _default; return ;;
    (*)
      case "$at" in
${entries.map(caseOf).join('\n')}
      esac ;;
  esac
  if [[ -n $names && $PREFIX != -* ]]; then
    found=(\${(f)"$("$words[1]" $state completion $names 2>/dev/null)"})
    (( $#found )) && compadd -- $found && ret=0
  fi
  (( $#offered )) && _describe -t commands command offered && ret=0
  [[ $PREFIX != -* ]] || { _describe -o -t options option options && ret=0 }
  (( ret )) && _files && ret=0
  return ret
}
if [[ $funcstack[1] == _${name} ]]; then
  _kk_controller "$@"
else
  compdef _kk_controller ${name}
fi`;
}
