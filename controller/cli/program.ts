import { Command, CommanderError } from 'commander';
import { KkError, KkErrors, reportOf } from '../../shared/errors.ts';
import { EXIT_CODE } from '../../shared/lifecycle.ts';
import { SETTINGS } from '../config/settings.ts';
import { Cli, type CliParts } from './cli.ts';
import { commandIn } from './command-in.ts';
import { problemsText } from './output/problems.ts';

type MakeCommand = (cli: Cli) => Command;

/**
 * Every command by its name, in the order of `--help`: first what one does, then what one looks at, then the rest. Loaded
 * when it is meant: reading all of them takes longer than most of them take.
 */
const COMMANDS: readonly (readonly [string, () => Promise<MakeCommand>])[] = [
  ['apply', async () => (await import('./commands/apply.ts')).applyCommand],
  ['plan', async () => (await import('./commands/plan.ts')).planCommand],
  ['precheck', async () => (await import('./commands/precheck.ts')).precheckCommand],
  ['status', async () => (await import('./commands/status.ts')).statusCommand],
  ['runs', async () => (await import('./commands/runs.ts')).runsCommand],
  ['logs', async () => (await import('./commands/logs.ts')).logsCommand],
  ['cancel', async () => (await import('./commands/cancel.ts')).cancelCommand],
  ['pause', async () => (await import('./commands/pause.ts')).pauseCommand],
  ['resume', async () => (await import('./commands/resume.ts')).resumeCommand],
  ['retry', async () => (await import('./commands/retry.ts')).retryCommand],
  ['skip', async () => (await import('./commands/skip.ts')).skipCommand],
  ['rollback', async () => (await import('./commands/rollback.ts')).rollbackCommand],
  ['nodes', async () => (await import('./commands/nodes.ts')).nodesCommand],
  ['join-command', async () => (await import('./commands/join-command.ts')).joinCommandCommand],
  ['bootstrap', async () => (await import('./commands/bootstrap.ts')).bootstrapCommand],
  ['token', async () => (await import('./commands/token.ts')).tokenCommand],
  ['revoke', async () => (await import('./commands/revoke.ts')).revokeCommand],
  ['exec', async () => (await import('./commands/exec.ts')).execCommand],
  ['cp', async () => (await import('./commands/cp.ts')).cpCommand],
  ['shell', async () => (await import('./commands/shell.ts')).shellCommand],
  ['facts', async () => (await import('./commands/facts.ts')).factsCommand],
  ['actions', async () => (await import('./commands/actions.ts')).actionsCommand],
  ['components', async () => (await import('./commands/components.ts')).componentsCommand],
  ['inventory', async () => (await import('./commands/inventory.ts')).inventoryCommand],
  ['certs', async () => (await import('./commands/certs.ts')).certsCommand],
  ['delete', async () => (await import('./commands/delete.ts')).deleteCommand],
  ['etcd', async () => (await import('./commands/etcd.ts')).etcdCommand],
  ['kubeconfig', async () => (await import('./commands/kubeconfig.ts')).kubeconfigCommand],
  ['config', async () => (await import('./commands/config.ts')).configCommand],
  ['serve', async () => (await import('./commands/serve.ts')).serveCommand],
  ['backup', async () => (await import('./commands/backup.ts')).backupCommand],
  ['restore', async () => (await import('./commands/restore.ts')).restoreCommand],
  ['version', async () => (await import('./commands/version.ts')).versionCommand],
  ['completion', async () => (await import('./commands/completion.ts')).completionCommand],
];

/** The command line, ready to parse, with the command of this name or (unstated, unknown) all; nothing has run. */
export async function buildProgram(cli: Cli, meant?: string): Promise<Command> {
  const { parts } = cli;
  const program = new Command('kk-controller')
    .description('Turns a plan file into work on machines, and tells what became of it.')
    .usage('[--state <folder>] <command> [options]')
    .version(parts.version, '-V, --version', 'the version of this program')
    .option('--state <folder>', 'state folder of the controller', (folder) => {
      cli.stateFolder = folder;
      return folder;
    })
    .exitOverride()
    .showSuggestionAfterError()
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({
      writeOut: (text) => parts.out.write(text),
      writeErr: (text) => parts.err.write(text),
      // told by runCli, in the form of all other errors
      outputError: () => {},
      getOutHelpWidth: () => Math.min(parts.out.columns || 100, 120),
      getErrHelpWidth: () => Math.min(parts.err.columns || 100, 120),
      getOutHasColors: () => false,
      getErrHasColors: () => false,
    })
    .addHelpText('after', HELP);
  const only = COMMANDS.filter(([name]) => name === meant);
  for (const [, load] of only.length > 0 ? only : COMMANDS) {
    const command = (await load())(cli);
    inherit(program, command);
    program.addCommand(command);
  }
  return program;
}

function inherit(from: Command, to: Command): void {
  to.copyInheritedSettings(from);
  for (const child of to.commands) inherit(to, child);
}

const HELP = `
Environment:
${SETTINGS.map(({ env, about }) => `  ${env.padEnd(13)} ${about}`).join('\n')}

Exit codes:
  0 done   1 usage or plan   2 prechecks failed   3 some nodes failed   4 cancelled   5 controller unreachable

Examples:
  kk-controller plan plan.yaml              what would run where, in which order
  kk-controller apply plan.yaml             do it
  kk-controller join-command                the line that makes a machine a node
  kk-controller logs last -f                watch the newest run`;

/** argv (without node and script) in, exit code out; every error is told on `err`. */
export async function runCli(argv: readonly string[], parts: CliParts): Promise<number> {
  const cli = new Cli(parts);
  const program = await buildProgram(cli, commandIn(argv));
  try {
    await program.parseAsync(argv, { from: 'user' });
    return cli.exitCode;
  } catch (thrown) {
    if (!(thrown instanceof CommanderError)) return tell(cli, thrown);
    // asking for help or the version is no error; no command at all prints the help
    if (thrown.exitCode === 0) return EXIT_CODE.done;
    return thrown.code === 'commander.help' ? EXIT_CODE.usage : tell(cli, usageError(thrown, program, argv));
  }
}

/** What commander refuses, as an error of ours: its hint, or the help of the command that was meant, is the remedy. */
function usageError({ message }: CommanderError, program: Command, argv: readonly string[]): KkError {
  const [what = '', ...hints] = message.replace(/^error: /, '').split('\n');
  const meant = program.commands.find((command) => argv.includes(command.name()));
  const command = meant ? ` ${meant.name()}` : '';
  const hint = hints.join(' ').replace(/^\((.*)\)$/, '$1');
  const help = `See \`kk-controller${command} --help\`.`;
  return new KkError({
    code: 'USAGE',
    message: /[.?!]$/.test(what) ? sentence(what) : `${sentence(what)}.`,
    remedy: hint === '' ? help : `${hint} ${help}`,
  });
}

const sentence = (text: string): string => `${text.slice(0, 1).toUpperCase()}${text.slice(1)}`;

function tell(cli: Cli, thrown: unknown): number {
  const reports = thrown instanceof KkErrors ? thrown.reports : [reportOf(thrown)];
  const internal = reports[0]?.code === 'INTERNAL' && thrown instanceof Error ? { evidence: thrown.stack ?? '' } : {};
  const told = reports.map((report) => ({ ...report, ...internal }));
  if (cli.format === 'table') {
    cli.parts.err.write(problemsText(told, { colors: cli.errColors, texts: cli.texts }));
  } else {
    cli.parts.err.write(`${JSON.stringify({ problems: told })}\n`);
  }
  const unreachable = told.some(({ code }) => code === 'CONTROLLER_UNREACHABLE' || code === 'CONTROLLER_LOST');
  return unreachable ? EXIT_CODE.unreachable : EXIT_CODE.usage;
}
