/** Where homes are, and how one goes with its account. */
import { basename, dirname, join } from 'node:path';
import type { ActionInput } from '../../shared/actions/index.ts';
import type { Host } from '../host/host.ts';
import { homeNotRemoved } from './account-errors.ts';
import type { UserFound } from './accounts.ts';

type Input = ActionInput<'user'>;

/** useradd(8): its own defaults are in a file. */
export async function homesIn({ files }: Host, root: string): Promise<string> {
  const text = (await files.read(`${root}/etc/default/useradd`))?.toString('utf8') ?? '';
  return /^\s*HOME=["']?(\/[^"'\s]*)/m.exec(text)?.[1] ?? '/home';
}

/** Where a home waits while its account is removed: that may be refused, and a crash after it must leave no home behind. */
const asideOf = (home: string): string => join(dirname(home), `.${basename(home)}.kk-removing`);

/** undefined: none is to be removed, or there is none. Throws HOME_NOT_REMOVED. */
export async function homeToRemove(input: Input, found: UserFound, { files }: Host): Promise<string | undefined> {
  if (!input.remove_home) return undefined;
  const stat = (await files.stat(found.home)) ?? (await files.stat(asideOf(found.home)));
  if (stat === undefined) return undefined;
  const parts = found.home.split('/').filter((part) => part !== '');
  if (stat.kind === 'directory' && stat.uid === found.uid && found.uid !== 0 && parts.length > 1) return found.home;
  throw homeNotRemoved(found.home, input.name);
}

/** A home that a crash has left aside when its account was gone already; of an account with a home of its own nobody knows. */
export async function leftAside(input: Input, host: Host, root: string): Promise<string | undefined> {
  if (!input.remove_home) return undefined;
  const aside = asideOf(`${await homesIn(host, root)}/${input.name}`);
  return (await host.files.stat(aside))?.kind === 'directory' ? aside : undefined;
}

/** The home goes with what `removes` its account, and stays where that fails. */
export async function withHomeAside(
  home: string | undefined,
  { files }: Host,
  removes: () => Promise<void>,
): Promise<void> {
  if (home === undefined) return removes();
  const aside = asideOf(home);
  if ((await files.stat(home)) !== undefined) {
    await files.remove(aside);
    await files.rename(home, aside);
  }
  try {
    await removes();
  } catch (thrown) {
    await files.rename(aside, home);
    throw thrown;
  }
  await files.remove(aside);
}
