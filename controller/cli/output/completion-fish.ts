import { type Entry, FOLDERS, type Named } from './completion-entries.ts';

const quoted = (text: string): string => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;

/** One line for each thing that may be offered, with the command after which it is; names are asked for from the program. */
export function fishScript(name: string, entries: readonly Entry[]): string {
  const asked = (kind: Named): string => quoted(`(__kk_controller_names ${kind})`);
  const argumentOf = (option: Entry['options'][number]): string => {
    if (option.choices.length > 0) return ` -x -a ${quoted(option.choices.join(' '))}`;
    if (option.named) return ` -x -a ${asked(option.named)}`;
    if (option.names.some((one) => FOLDERS.includes(one))) return " -x -a '(__fish_complete_directories)'";
    return option.takesValue ? ' -r' : '';
  };
  const lines = entries.flatMap(({ path, commands, options, choices, named }) => {
    const head = `complete -c ${name} -n ${quoted(`__kk_controller_at ${quoted(path)}`)}`;
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
  const paths = entries.filter(({ path }) => path !== '').map(({ path }) => quoted(path));
  return `function __kk_controller_at
    set -l at ''
    set -l tokens (commandline -opc)
    set -e tokens[1]
    for word in $tokens
        set -l next (string trim -- "$at $word")
        switch $next
            case ${paths.join(' ')}
                set at $next
        end
    end
    test "$at" = "$argv[1]"
end
function __kk_controller_names
    set -l tokens (commandline -opc)
    set -l state
    if set -l found (contains -i -- --state $tokens)
        set state --state $tokens[(math $found + 1)]
    end
    ${name} $state completion $argv[1] 2>/dev/null
end
${lines.join('\n')}`;
}
