import { KkError } from '../../shared/errors.ts';
import { type Account, accountOf } from './accounts.ts';

const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** What it takes to run a program: never the agent's own environment, which is nobody else's business. */
export interface Launch {
  argv: [string, ...string[]];
  env: Record<string, string>;
}

/**
 * The program as a user, in a clean environment. Node's own uid/gid options drop all supplementary groups, so setpriv
 * (util-linux) changes the user; it execs, so pid and process group stay what they are. Throws COMMAND_NO_SUCH_USER.
 */
export async function launchAs(
  argv: readonly [string, ...string[]],
  user: string | undefined,
  env: Record<string, string>,
): Promise<Launch> {
  const account = await accountOf(user ?? String(process.getuid?.() ?? 0));
  if (account === undefined && user !== undefined) {
    throw new KkError({
      code: 'COMMAND_NO_SUCH_USER',
      message: `There is no user ${user} on this node.`,
      remedy: 'Create the user in an earlier task, or name one that exists.',
    });
  }
  const clean: Record<string, string> = {
    PATH,
    LANG: 'C.UTF-8',
    HOME: account?.home ?? '/',
    ...named(account?.name),
    ...env,
  };
  if (user === undefined || account === undefined) return { argv: [...argv], env: clean };
  return { argv: [...setpriv(account), ...argv], env: clean };
}

function named(name: string | undefined): Record<string, string> {
  return name === undefined ? {} : { USER: name, LOGNAME: name };
}

function setpriv(account: Account): [string, ...string[]] {
  const groups = account.groups.length === 0 ? ['--clear-groups'] : ['--groups', account.groups.join(',')];
  return ['/usr/bin/setpriv', '--reuid', String(account.uid), '--regid', String(account.gid), ...groups, '--'];
}
