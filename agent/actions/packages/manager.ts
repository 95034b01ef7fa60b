/** One contract for the package managers of the distributions; a file each for those of Debian's kind, Red Hat's and SUSE's. */
import type { KkError } from '../../../shared/errors.ts';
import type { RunOptions, RunOutput } from '../../host/host.ts';

export type Argv = readonly [string, ...string[]];

/** A package as it is installed. */
export interface Installed {
  /** As the manager writes it, with epoch and release; of one that is there several times, all of them. */
  version: string;
  /** Not upgraded with the others. */
  held: boolean;
  /** It came for the sake of another one. */
  auto: boolean;
  /** Only its configuration is left (dpkg), or it is half installed: then it does not count as installed. */
  rest?: 'configuration' | 'unfinished';
}

/** By name; of a foreign architecture, `name:arch`. */
export type Database = ReadonlyMap<string, Installed>;

/** One to install: of a repository, at a version if one is stated (`1.30.*` is a pattern), or a file. */
export interface Wanted {
  name: string;
  version?: string | undefined;
  file?: string;
}

export interface Change {
  install: readonly Wanted[];
  remove: readonly string[];
}

export interface ChangeOptions {
  recommends?: boolean | undefined;
  configFiles: 'keep' | 'replace';
  purge: boolean;
  allowDowngrade: boolean;
  /** Versions of held ones may change: the task itself says how they are to be held. */
  allowHeld: boolean;
  /** Nothing may be fetched, not even to look. */
  cached?: true;
}

/** What a transaction would do, in the order in which it does. */
export interface Foreseen {
  /** version '': removed. */
  steps: { name: string; version: string }[];
  downgrades: string[];
}

/** Helper programs that only look, in the C locale. Throws PACKAGE_LOCK_HELD. */
export type Ask = (argv: Argv, options?: RunOptions) => Promise<RunOutput>;

export interface PackageManager {
  readonly kind: 'apt' | 'dnf' | 'yum' | 'zypper';
  /** For every program of a transaction. */
  environment(options: ChangeOptions): Record<string, string>;
  /** Throws PACKAGE_DATABASE_BROKEN. */
  database(): Promise<Database>;
  /** Names as a person may write them (`name:arch`), as {@link Database} has them. */
  named(names: readonly string[]): Promise<string[]>;
  /** What a package file holds. Throws PACKAGE_FILE_UNREADABLE. */
  inFile(path: string): Promise<{ name: string; version: string }>;
  /** The newest version of each that can be had; those that cannot be had are not in it. `cached`: without fetching anything. */
  newest(names: readonly string[], cached: boolean): Promise<Map<string, string>>;
  /** Is an installed version what a task asks for? */
  isVersion(installed: string, wanted: string): boolean;
  /** Throws what a person can mend. Removals that nobody asked for are in it, and are to be judged by the caller. */
  foresee(change: Change, options: ChangeOptions): Promise<Foreseen>;
  /** The programs that do it, one after another. */
  transaction(change: Change, options: ChangeOptions): Argv[];
  /** When it was last asked what the repositories have; undefined: never, or the manager sees to that itself. */
  askedAtMs(): Promise<number | undefined>;
  refresh(): Argv;
  /** After a refresh that did not bring everything: what {@link askedAtMs} is to say, 0 for never. */
  setAskedAt(ms: number): Promise<void>;
  /** Throws PACKAGE_HOLD_UNAVAILABLE when it is found out that they cannot be held. */
  hold(names: readonly string[], held: boolean): Argv;
  /** Configuration that came with packages and was changed on the node since: the paths by package. */
  changedConfiguration(names: readonly string[]): Promise<Map<string, string[]>>;
  /** undefined: it does not keep apart what came for the sake of others. */
  mark(names: readonly string[], auto: boolean): Argv | undefined;
}

/** What a program of a manager ended with when it failed. */
export type Failing = (argv: Argv, output: RunOutput) => KkError;
