/** The first word that is neither an option nor the folder of --state; a completion script is made of all commands. */
export function commandIn(argv: readonly string[]): string | undefined {
  const word = argv.find((text, at) => !text.startsWith('-') && argv[at - 1] !== '--state');
  return word === 'completion' ? undefined : word;
}
