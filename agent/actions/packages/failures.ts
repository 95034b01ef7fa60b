/** What package managers say when they fail, and what to do about it. */
import { KkError } from '../../../shared/errors.ts';
import type { RunOutput } from '../../host/host.ts';
import type { Argv } from './manager.ts';

interface Known {
  said: RegExp;
  code: string;
  /** `$1` and `$2` are what `said` caught. */
  what: string;
  remedy: string;
}

const MEND =
  'Mend it on the node: dpkg --configure -a, then apt-get --fix-broken install; of rpm: rpm --rebuilddb. Then run again.';

/** apt and dpkg 1.18-1.22, yum 3, dnf 4 and 5, libzypp 17; the first that matches counts. */
const KNOWN: readonly Known[] = [
  {
    said: /dpkg was interrupted|--fix-broken install|rpmdb: .*(?:corrupt|damaged)|Rpmdb checksum is invalid|rpmdb open failed/i,
    code: 'PACKAGE_DATABASE_BROKEN',
    what: 'The package manager of this node was interrupted in the middle of something.',
    remedy: MEND,
  },
  {
    said: /Held packages were changed/,
    code: 'PACKAGE_HELD',
    what: 'A package is held on this node, so its version is not changed.',
    remedy:
      'Name it in the task and say how it is to be held (hold: true or false): then it may be changed. Or see who held it.',
  },
  {
    said: /(?:Version '([^']+)' for '([^']+)' was not found)/,
    code: 'PACKAGE_VERSION_NOT_FOUND',
    what: 'No repository of this node has $2 at the version $1.',
    remedy:
      'Correct the version (apt-cache madison <name> lists those there are), or add the repository in an earlier task; with update_cache: true a new version is seen sooner.',
  },
  {
    said: /Unable to locate package (\S+)|Package '?([^\s']+)'? has no installation candidate|Couldn't find any package by (?:regex|glob) '([^']+)'/,
    code: 'PACKAGE_NOT_FOUND',
    what: 'No repository of this node has a package $1$2$3.',
    remedy: 'Correct the name, or add the repository that has it in an earlier task (repository).',
  },
  {
    said: /(?:No match for argument: |Unable to find a match: |No package (?=\S+ available)|No provider of ')([^\s']+)/,
    code: 'PACKAGE_NOT_FOUND',
    what: 'No repository of this node has $1.',
    remedy: 'Correct name and version, or add the repository that has it in an earlier task (repository).',
  },
  {
    said: /enough free space|No space left on device|needs? (?:at least )?\d+\s?[KMG]?B? (?:more space )?on the/i,
    code: 'PACKAGE_NO_ROOM',
    what: 'There is no room on this node for what is to be installed.',
    remedy: 'Free space (the evidence says where; apt-get clean or dnf clean packages help), then run again.',
  },
  {
    said: /NO_PUBKEY|BADSIG|EXPKEYSIG|is not signed|could not be authenticated|unauthenticated packages|GPG (?:key|check) .*(?:fail|not)|Signature verification failed|public key is not (?:installed|available)/i,
    code: 'REPOSITORY_NOT_TRUSTED',
    what: 'A repository is not signed by a key that this node trusts.',
    remedy: 'Give the repository its key (repository: {key: …}); see in the evidence which one is meant.',
  },
  {
    said: /Failed to fetch|Unable to fetch|Could not (?:resolve|connect)|Temporary failure resolving|Connection (?:failed|timed out|refused)|Failed to download metadata|Cannot (?:download|retrieve) rep|Curl error|is not valid yet|Hash Sum mismatch|Valid metadata not found|does not have a Release file|Cache-only enabled but no cache/i,
    code: 'REPOSITORY_UNREACHABLE',
    what: 'A repository does not give what is needed.',
    remedy:
      'Correct its address, or see why the node does not reach it (network, DNS, proxy); the evidence names it. Then run again.',
  },
  {
    said: /trying to overwrite '([^']+)', which is also in package (\S+)/,
    code: 'PACKAGE_FILE_CONFLICT',
    what: 'A package brings $1, which belongs to $2.',
    remedy: 'Remove the other package in an earlier task, or take another version.',
  },
  {
    said: /(?:installed (\S+) package )?(?:pre|post)-(?:installation|removal) script|scriptlet failed|Sub-process \S*dpkg returned an error/i,
    code: 'PACKAGE_SCRIPT_FAILED',
    what: 'A script of a package failed.',
    remedy: `See the evidence for which one and why. ${MEND}`,
  },
  {
    said: /remove lock to allow/,
    code: 'PACKAGE_HELD',
    what: 'A package is held on this node, so its version is not changed.',
    remedy:
      'See who held it; zypper asks to let it go in an earlier task (package: {name, hold: false}) before it is changed.',
  },
  {
    said: /unmet dependencies|held broken packages|nothing provides|conflicting requests|Problem: |conflicts with|Choose from above solutions|Requires: /i,
    code: 'PACKAGE_UNMET_DEPENDENCIES',
    what: 'The packages cannot be installed together with what is there.',
    remedy:
      'See in the evidence which ones exclude each other: take other versions, add a repository, remove what is in the way in an earlier task, or add allow_removal: true.',
  },
  {
    said: /No such command: versionlock|dnf-command\(versionlock\)|Unknown argument "versionlock"/i,
    code: 'PACKAGE_HOLD_UNAVAILABLE',
    what: 'dnf cannot hold packages on this node.',
    remedy: 'Install python3-dnf-plugin-versionlock (yum: yum-plugin-versionlock) in an earlier task.',
  },
  {
    said: /: not found$|not executable$/,
    code: 'PACKAGE_MANAGER_MISSING',
    what: 'A program of the package manager is not on this node.',
    remedy: 'Bring it back on the node; the evidence names it.',
  },
];

/** The whole of what was said that matters: the end, where the errors are. */
function evidenceOf(argv: Argv, { stdout, stderr }: RunOutput): string {
  const lines = `${stdout}\n${stderr}`
    .split('\n')
    .filter((line) => line.trim() !== '' && !/<(?:progress|option)\b/.test(line));
  return `${argv.join(' ')}\n${lines.join('\n').slice(-3500)}`;
}

/** The error of a program that failed. */
export function packageFailure(argv: Argv, output: RunOutput): KkError {
  const said = `${output.stderr}\n${output.stdout}`.replaceAll('&apos;', "'");
  const evidence = evidenceOf(argv, output);
  for (const known of KNOWN) {
    const caught = known.said.exec(said);
    if (caught === null) continue;
    const message = known.what.replace(/\$(\d)/g, (_, group: string) => caught[Number(group)] ?? '');
    return new KkError({ code: known.code, message, remedy: known.remedy, evidence });
  }
  return new KkError({
    code: 'PACKAGE_FAILED',
    message: `${argv[0]} ended with ${output.code}.`,
    remedy: 'See the evidence, mend on the node what it says, and run again.',
    evidence,
  });
}

/** Did apt-get update end well although a repository gave nothing? Then what was known of it before stays. */
export function isIncomplete({ stdout, stderr }: RunOutput): boolean {
  return /^W: (?:Failed to fetch|Some index files failed)/m.test(`${stderr}\n${stdout}`);
}

/**
 * Did it fail because another program uses the package manager? `pid`: of that one, where it is told. apt, dpkg, dnf and yum with
 * exit_on_lock, zypper.
 */
export function lockedBy({ code, stdout, stderr }: RunOutput): { pid: number | undefined } | undefined {
  const said = `${stderr}\n${stdout}`;
  const isLocked =
    /Could not get lock|Unable to (?:acquire|lock)|frontend lock was locked|another copy is running|Failed to obtain the \S+ lock|Waiting for process with pid|System management is locked|lock held by|already locked by/i.test(
      said,
    );
  if (code === 0 || !isLocked) return undefined;
  const [, pid] =
    /(?:held by process|with pid|running as pid|locked by the application with pid|lock held by|already locked by) (\d+)/i.exec(
      said,
    ) ?? [];
  return { pid: pid === undefined ? undefined : Number(pid) };
}

/** The error of a package file that cannot be read. */
export function unreadable(path: string, stderr: string): KkError {
  return new KkError({
    code: 'PACKAGE_FILE_UNREADABLE',
    message: `${path} is not there, or not a package that this node can install.`,
    remedy: 'Bring the file to the node in an earlier task, whole, and of the kind of its distribution (.deb, .rpm).',
    evidence: stderr.trim().slice(-2000),
  });
}
