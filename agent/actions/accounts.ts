import type { Host } from '../host/host.ts';
import { accountFailed } from './account-errors.ts';
import {
  type GroupEntry,
  groupEntries,
  type PasswdEntry,
  passwdEntries,
  type ShadowEntry,
  shadowEntries,
} from './account-files.ts';

/** An account with all that is kept about it. */
export interface UserFound extends PasswdEntry {
  /** Of its other groups, sorted. */
  groups: string[];
  shadow: ShadowEntry | undefined;
}

/** Another program may hold the lock of the files for a while. */
const LOCKED_MS = 60_000;

/** The accounts in the machine's own files, and the tools that change them (shadow-utils; every distribution with systemd has them). */
export interface Accounts {
  user(name: string): Promise<UserFound | undefined>;
  group(name: string): Promise<GroupEntry | undefined>;
  /** By name or number. */
  groupOf(account: string | number): Promise<GroupEntry | undefined>;
  /** Runs one of the tools about `name`. Throws ACCOUNT_*. */
  run(name: string, argv: readonly [string, ...string[]], signal: AbortSignal): Promise<void>;
  /** The hash goes by standard input: arguments are seen by everyone on the node. */
  setHash(name: string, hash: string, signal: AbortSignal): Promise<void>;
}

/** `root`: what /etc is below. */
export function accountsOf(host: Host, root: string): Accounts {
  const text = async (path: string): Promise<string> => (await host.files.read(root + path))?.toString('utf8') ?? '';
  const groups = async (): Promise<GroupEntry[]> => groupEntries(await text('/etc/group'));

  async function must(
    name: string,
    argv: readonly [string, ...string[]],
    signal: AbortSignal,
    input = '',
  ): Promise<void> {
    const options = { timeoutMs: LOCKED_MS, signal, input, env: { LC_ALL: 'C' } };
    const { code, stderr } = await host.run(argv, options);
    if (code !== 0) throw accountFailed(name, argv[0], code, stderr);
  }

  return {
    async user(name) {
      const found = passwdEntries(await text('/etc/passwd')).find((one) => one.name === name);
      if (found === undefined) return undefined;
      const others = (await groups()).filter(({ members }) => members.includes(name)).map((one) => one.name);
      const shadow = shadowEntries(await text('/etc/shadow')).find((one) => one.name === name);
      return { ...found, groups: [...new Set(others)].sort(), shadow };
    },
    group: async (name) => (await groups()).find((one) => one.name === name),
    async groupOf(account) {
      const all = await groups();
      return all.find(({ name }) => name === String(account)) ?? all.find(({ gid }) => String(gid) === String(account));
    },
    run: (name, argv, signal) => must(name, argv, signal),
    setHash: (name, hash, signal) =>
      // What only locks is no secret, and is nothing that chpasswd takes everywhere.
      /^[!*]*$/.test(hash)
        ? must(name, ['usermod', '-p', hash, '--', name], signal)
        : must(name, ['chpasswd', '-e'], signal, `${name}:${hash}\n`),
  };
}
