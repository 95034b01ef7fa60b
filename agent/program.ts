import { isSea } from 'node:sea';
import { errorText } from '../shared/error-text.ts';
import { reportOf } from '../shared/errors.ts';
import { cli } from './cli.ts';

/** Every command of `kk-agent` but the wrapper's: sets the exit code, and tells an error as the join script and the SSH step read it. */
export async function runProgram(): Promise<void> {
  try {
    const program = cli({ wrapper: [...ownArgv(), 'run-command'], exit: (code) => process.exit(code) });
    // Packaged, argv[1] repeats argv[0]; so both forms carry the user's words from the third on.
    await program.parseAsync(process.argv.slice(2), { from: 'user' });
  } catch (thrown) {
    process.stderr.write(errorText(reportOf(thrown)));
    process.exitCode = 1;
  }
}

/** How this very program is started again: packaged, it is one file; from source, Node needs to be told which. */
function ownArgv(): [string, ...string[]] {
  return isSea() ? [process.execPath] : [process.execPath, process.argv[1] ?? ''];
}
