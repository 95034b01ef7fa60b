import { Command, CommanderError } from 'commander';
import { KkError, KkErrors, reportOf } from '../../shared/errors.ts';
import { EXIT_CODE } from '../../shared/lifecycle.ts';
import { SETTINGS } from '../config/settings.ts';
import { Cli, type CliParts } from './cli.ts';
import { applyCommand } from './commands/apply.ts';
import { backupCommand } from './commands/backup.ts';
import { bootstrapCommand } from './commands/bootstrap.ts';
import { cancelCommand } from './commands/cancel.ts';
import { completionCommand } from './commands/completion.ts';
import { execCommand } from './commands/exec.ts';
import { joinCommandCommand } from './commands/join-command.ts';
import { logsCommand } from './commands/logs.ts';
import { nodesCommand } from './commands/nodes.ts';
import { pauseCommand } from './commands/pause.ts';
import { planCommand } from './commands/plan.ts';
import { precheckCommand } from './commands/precheck.ts';
import { restoreCommand } from './commands/restore.ts';
import { resumeCommand } from './commands/resume.ts';
import { retryCommand } from './commands/retry.ts';
import { revokeCommand } from './commands/revoke.ts';
import { rollbackCommand } from './commands/rollback.ts';
import { runsCommand } from './commands/runs.ts';
import { serveCommand } from './commands/serve.ts';
import { skipCommand } from './commands/skip.ts';
import { statusCommand } from './commands/status.ts';
import { tokenCommand } from './commands/token.ts';
import { versionCommand } from './commands/version.ts';
import { problemsText } from './output/problems.ts';

/** Every command, in the order of `--help`: first what one does, then what one looks at, then the rest. */
const COMMANDS: readonly ((cli: Cli) => Command)[] = [
  applyCommand,
  planCommand,
  precheckCommand,
  statusCommand,
  runsCommand,
  logsCommand,
  cancelCommand,
  pauseCommand,
  resumeCommand,
  retryCommand,
  skipCommand,
  rollbackCommand,
  nodesCommand,
  joinCommandCommand,
  bootstrapCommand,
  tokenCommand,
  revokeCommand,
  execCommand,
  serveCommand,
  backupCommand,
  restoreCommand,
  versionCommand,
  completionCommand,
];

/** The command line, ready to parse; nothing has run. */
export function buildProgram(cli: Cli): Command {
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
  for (const make of COMMANDS) {
    const command = make(cli);
    inherit(program, command);
    program.addCommand(command);
  }
  return program;
}

function inherit(from: Command, to: Command): void {
  to.copyInheritedSettings(from);
  // The -o of a group, and that of a command below it, are two.
  if (to.commands.length > 0) to.enablePositionalOptions();
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
  const program = buildProgram(cli);
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
