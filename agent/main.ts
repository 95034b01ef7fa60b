/**
 * `kk-agent`: argv in, exit code out. The parts behind the commands are loaded when they are needed, for `run-command`
 * starts once for every command of a plan.
 */
import type { ErrorReport } from '../shared/errors.ts';

/** How this very program is started again: packaged, it is one file; from source, Node needs to be told which. */
function ownArgv(isPackaged: boolean): [string, ...string[]] {
  return isPackaged ? [process.execPath] : [process.execPath, process.argv[1] ?? ''];
}

/** The problem and what to do about it, as the join script and the SSH step read it; exit code 1. */
async function fail(report: ErrorReport): Promise<void> {
  const { errorText } = await import('../shared/error-text.ts');
  process.stderr.write(errorText(report));
  process.exitCode = 1;
}

async function main(): Promise<void> {
  const [, , command, folder] = process.argv;
  if (command === 'run-command') {
    const { runWrapper } = await import('./host/command-wrapper.ts');
    await runWrapper(folder ?? '.');
    return;
  }
  const { reportOf } = await import('../shared/errors.ts');
  try {
    const { isSea } = await import('node:sea');
    const { cli } = await import('./cli.ts');
    const program = cli({ wrapper: [...ownArgv(isSea()), 'run-command'], exit: (code) => process.exit(code) });
    // Packaged, argv[1] repeats argv[0]; so both forms carry the user's words from the third on.
    await program.parseAsync(process.argv.slice(2), { from: 'user' });
  } catch (thrown) {
    await fail(reportOf(thrown));
  }
}

void main();
