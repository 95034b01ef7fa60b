import type { Command, Option } from 'commander';
import { Cli, type CliParts } from '../../controller/cli/cli.ts';
import { buildProgram } from '../../controller/cli/program.ts';
import { cell } from './markdown.ts';

/** The page of commands, from the command line itself. */
export async function commandsPage(): Promise<string> {
  const parts = {
    settings: { stateFolder: '/', color: false },
    out: process.stdout,
    err: process.stderr,
    version: '0',
  };
  const program = await buildProgram(new Cli(parts as unknown as CliParts));
  const commands = program.commands.flatMap((command) => leavesOf(command, ''));
  const rows = commands.map(
    ({ path, command }) => `| [\`${path}\`](#${path.replaceAll(' ', '-')}) | ${cell(command.description())} |`,
  );
  return `# Commands

Made by \`npm run generate\` from the command line itself; \`kk-controller <command> --help\` tells the same, with examples. Each takes
\`--state <folder>\` before it, and ends with one of the [exit codes](../../README.md#commands).

| command | what it does |
|---|---|
${rows.join('\n')}

${commands.map(section).join('\n')}`;
}

interface Leaf {
  /** `token create`. */
  path: string;
  command: Command;
}

function leavesOf(command: Command, before: string): Leaf[] {
  const path = `${before}${command.name()}`;
  const inner = command.commands.flatMap((child) => leavesOf(child, `${path} `));
  // A group that does something by itself, such as `runs`, has options of its own.
  return inner.length === 0 || optionsOf(command).length > 0 ? [{ path, command }, ...inner] : inner;
}

function optionsOf(command: Command): Option[] {
  return command
    .createHelp()
    .visibleOptions(command)
    .filter(({ long }) => long !== '--help');
}

function section({ path, command }: Leaf): string {
  const words = command.registeredArguments.map((argument) => {
    const name = `${argument.name()}${argument.variadic ? '...' : ''}`;
    return argument.required ? ` <${name.replace(/^<|>$/g, '')}>` : ` [${name}]`;
  });
  const rows = [
    ...command.registeredArguments.map((argument) => [argument.name(), withChoices(argument), '']),
    ...optionsOf(command).map((option) => [option.flags, withChoices(option), usual(option)]),
  ].map(([name = '', about = '', value = '']) => `| \`${cell(name)}\` | ${cell(about)} | ${cell(value)} |`);
  return `## ${path}

${command.description()}.

\`kk-controller ${path}${words.join('')}\`

| argument or option | | default |
|---|---|---|
${rows.join('\n')}
`;
}

function withChoices({
  description,
  argChoices = [],
}: {
  description: string;
  argChoices?: string[] | undefined;
}): string {
  return argChoices.length === 0 ? description : `${description}: ${argChoices.join(', ')}`;
}

function usual({ defaultValue, defaultValueDescription }: Option): string {
  if (defaultValueDescription !== undefined) return defaultValueDescription;
  return defaultValue === undefined ? '' : String(defaultValue);
}
