import { KkError } from '../../shared/errors.ts';

/** What the tools of shadow-utils say, or the code they exit with (useradd(8), groupadd(8)), and what to do about it. */
const KNOWN: readonly { said: RegExp; code?: number; id: string; what: string; remedy: string }[] = [
  {
    said: /UID .*(?:not unique|already in use)|GID .*already (?:exists|in use)/i,
    code: 4,
    id: 'ACCOUNT_NUMBER_TAKEN',
    what: 'cannot have that number: another account has it',
    remedy: 'Give another number, or remove the other account in an earlier task (getent passwd, getent group).',
  },
  {
    said: /currently used by process/i,
    code: 8,
    id: 'ACCOUNT_IN_USE',
    what: 'cannot be changed while it is in use',
    remedy:
      'End its processes (loginctl terminate-user, or stop its service), or remove the users whose primary group it is, in an earlier task.',
  },
  {
    said: /cannot lock|try again later/i,
    code: 10,
    id: 'ACCOUNT_FILES_LOCKED',
    what: 'cannot be changed: somebody else is changing the accounts',
    remedy: 'Run again. If it stays so, see who left /etc/passwd.lock, /etc/shadow.lock or /etc/group.lock.',
  },
  {
    said: /Permission denied|Read-only file system/i,
    id: 'ACCOUNT_DENIED',
    what: 'may not be changed here',
    remedy: 'Run the agent as root, and see whether /etc is read-only or its files immutable (lsattr).',
  },
];

const MISSING = new Set([126, 127]);

export function accountFailed(name: string, tool: string, exit: number, stderr: string): KkError {
  const evidence = stderr.trim().slice(-2000);
  if (MISSING.has(exit)) {
    return new KkError({
      code: 'ACCOUNT_TOOLS_MISSING',
      message: `The account ${name} cannot be changed: ${tool} is not on this node.`,
      remedy:
        'Install the package with it in an earlier task (passwd on Debian, shadow-utils on Red Hat, shadow on SUSE).',
      evidence,
    });
  }
  const { id, what, remedy } = KNOWN.find(({ said }) => said.test(stderr)) ??
    KNOWN.find(({ code }) => code === exit) ?? {
      id: 'ACCOUNT_FAILED',
      what: 'could not be changed',
      remedy: 'See the evidence for what the tool of the distribution refused.',
    };
  return new KkError({ code: id, message: `The account ${name} ${what} (${tool}).`, remedy, evidence });
}

export function noSuchGroup(group: string | number): KkError {
  return new KkError({
    code: 'NO_SUCH_GROUP',
    message: `There is no group ${group} on this node.`,
    remedy: 'Create the group in an earlier task, or name one that exists.',
  });
}

export function homeNotSafe(path: string, why: string): KkError {
  return new KkError({
    code: 'HOME_NOT_SAFE',
    message: `No keys are written to ${path}: it ${why}.`,
    remedy: 'See who made it so; make it a directory of the account itself.',
  });
}

export function homeNotRemoved(home: string, name: string): KkError {
  return new KkError({
    code: 'HOME_NOT_REMOVED',
    message: `${home} is the home of ${name}, but is not a directory of its own, so it is not removed.`,
    remedy: 'Leave out remove_home, and remove in a task of its own what is meant.',
  });
}

export function homeNotMade(home: string, name: string): KkError {
  return new KkError({
    code: 'HOME_NOT_SAFE',
    message: `No keys are written to ${home}: it is not there, and none is made for ${name}.`,
    remedy:
      'Add create_home: true (a system account gets no home of itself), name a home that is there, or leave out authorized_keys.',
  });
}
