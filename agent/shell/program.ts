import { stat } from 'node:fs/promises';
import type { ShellOpen } from '../../shared/protocol/messages.ts';
import { accountOf, terminalOwnerOf } from '../host/accounts.ts';
import { unfit } from '../host/command-errors.ts';
import { whyUnfit } from '../host/fitness.ts';
import { launchAs } from '../host/run-as.ts';
import type { TerminalSpec } from '../pty/terminal.ts';

/** A TERM that names no file elsewhere; anything else is taken for the simplest terminal there is. */
const TERM = /^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$/;

/**
 * What to start for a shell: the program asked for or the user's login shell, in the user's home and a clean environment
 * with TERM. Throws KkError COMMAND_NO_SUCH_USER, COMMAND_NOT_FOUND, COMMAND_NOT_EXECUTABLE.
 */
export async function programOf({ user, argv, term, columns, rows }: ShellOpen): Promise<TerminalSpec> {
  const account = await accountOf(user === '' ? String(process.getuid?.() ?? 0) : user);
  const shell = account?.shell ?? '/bin/sh';
  const [first, ...rest] = argv;
  const wanted: [string, ...string[]] = first === undefined ? [shell, '-l'] : [first, ...rest];
  const env = { TERM: TERM.test(term) ? term : 'dumb', SHELL: shell };
  const launch = await launchAs(wanted, user === '' ? undefined : user, env);
  // As login does: a user without a home is let in all the same.
  const home = launch.env['HOME'] ?? '/';
  const cwd = (await isFolder(home)) ? home : '/';
  const trouble = whyUnfit({ program: wanted[0], env: launch.env, cwd });
  if (trouble !== undefined) throw unfit(trouble);
  const owner = user === '' ? undefined : await terminalOwnerOf(user);
  return { argv: launch.argv, env: launch.env, cwd, columns, rows, ...(owner && { owner }) };
}

async function isFolder(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
}
