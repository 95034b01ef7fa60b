/** What went wrong with an SSH step, from what ssh, sudo and the script left behind. Pure. */

import { parseErrorText } from '../../shared/error-text.ts';
import { type ErrorReport, KkError } from '../../shared/errors.ts';
import type { SshSettings } from '../plan/types.ts';

/** What was seen of a step that failed. */
export interface SshFailure {
  /** Exit status of ssh; 255 is its own, anything else the remote command's. undefined: a signal ended it. */
  code: number | undefined;
  /** All of stderr, ssh's and the node's, secrets masked. */
  stderr: string;
  /** The remote script had started. */
  ready: boolean;
  /** The remote shell found no sudo. */
  noSudo: boolean;
  /** sudo asked again after it had got the password. */
  passwordRefused: boolean;
}

interface Rule {
  pattern: RegExp;
  code: string;
  message: (at: string, ssh: SshSettings) => string;
  remedy: (ssh: SshSettings) => string;
}

/** In order: a changed host key also says "verification failed", a bad key file also ends in "permission denied". */
const SSH_RULES: readonly Rule[] = [
  {
    pattern: /REMOTE HOST IDENTIFICATION HAS CHANGED|host key .*has changed/i,
    code: 'SSH_HOST_KEY_CHANGED',
    message: (at) => `${at} has another host key than before.`,
    remedy: (ssh) =>
      `If the machine was set up anew: ssh-keygen -R '${knownName(ssh)}'${knownFile(ssh)}, then again. If it was not, find out who answers at this address.`,
  },
  {
    pattern: /Host key verification failed|No .*host key is known/i,
    code: 'SSH_HOST_KEY_UNKNOWN',
    message: (at) => `The host key of ${at} is not known.`,
    remedy: (ssh) =>
      `Compare the key's fingerprint with the machine's own, then keep it: ssh-keyscan -p ${ssh.port} ${ssh.host} >> ${ssh.knownHostsFile ?? '~/.ssh/known_hosts'}. Or set ssh.host_keys: accept-new.`,
  },
  {
    pattern: /UNPROTECTED PRIVATE KEY FILE|bad permissions/i,
    code: 'SSH_AUTH_FAILED',
    message: (at) => `The private key for ${at} can be read by others, so ssh does not use it.`,
    remedy: (ssh) => `chmod 600 ${ssh.privateKeyFile ?? 'the private key file'}`,
  },
  {
    pattern: /Identity file .* not accessible/i,
    code: 'SSH_AUTH_FAILED',
    message: (at, ssh) => `The private key ${ssh.privateKeyFile ?? ''} for ${at} cannot be read.`,
    remedy: () => 'Correct ssh.private_key_file; the path is one on the machine of the controller.',
  },
  {
    pattern: /Load key .*:|incorrect passphrase/i,
    code: 'SSH_AUTH_FAILED',
    message: (at, ssh) => `The private key ${ssh.privateKeyFile ?? ''} for ${at} cannot be used.`,
    remedy: () =>
      'Is it a private key in OpenSSH or PEM form? One with a passphrase must be in an ssh-agent (ssh-add).',
  },
  {
    pattern: /Permission denied \(|Permission denied, please try again|Too many authentication failures/i,
    code: 'SSH_AUTH_FAILED',
    message: (at, ssh) => `${at} does not let ${ssh.user} in${ssh.passwordFile ? ' with this password' : ''}.`,
    remedy: (ssh) =>
      ssh.passwordFile === undefined
        ? `Add the public key to the authorized_keys of ${ssh.user} there, or correct ssh.user or ssh.private_key_file.`
        : `Correct the password in ${ssh.passwordFile}, or ssh.user; the machine must allow logins by password.`,
  },
  {
    pattern: /Could not resolve hostname|Name or service not known/i,
    code: 'SSH_UNREACHABLE',
    message: (_at, ssh) => `Nobody knows the address of ${ssh.host}.`,
    remedy: () => 'Correct the name, or give the IP address as the address of the node.',
  },
  {
    pattern: /Connection refused/i,
    code: 'SSH_REFUSED',
    message: (at) => `${at} refuses the connection.`,
    remedy: () => 'Start sshd there (`systemctl start sshd`), or correct ssh.port.',
  },
  {
    pattern: /timed out|No route to host|Network is unreachable|Host is down/i,
    code: 'SSH_UNREACHABLE',
    message: (at) => `${at} does not answer.`,
    remedy: () => 'Is the machine on, and is the address right? Check routes and firewalls between here and there.',
  },
  {
    pattern: /Unable to negotiate|no matching .* found/i,
    code: 'SSH_NO_COMMON_ALGORITHM',
    message: (at) => `ssh and ${at} have no algorithm in common.`,
    remedy: () => 'Update the older of the two, or allow the algorithm for this host in ~/.ssh/config.',
  },
  {
    pattern: /kex_exchange_identification|Connection (closed|reset) by|banner exchange|Connection to .* closed/i,
    code: 'SSH_REFUSED',
    message: (at) => `${at} closed the connection at once.`,
    remedy: () => 'Look at the log of sshd there: MaxStartups, fail2ban, hosts.deny, or no ssh server on this port.',
  },
];

const SUDO_RULES: readonly Rule[] = [
  {
    pattern: /incorrect password attempt|Sorry, try again/i,
    code: 'SUDO_PASSWORD_WRONG',
    message: (at, ssh) => `sudo on ${at} does not take this password of ${ssh.user}.`,
    remedy: (ssh) => `Correct the password in ${ssh.sudoPasswordFile ?? ssh.passwordFile ?? 'ssh.sudoPasswordFile'}.`,
  },
  {
    pattern: /not in the sudoers|may not run sudo|not allowed to (execute|run)|must have a tty/i,
    code: 'SUDO_DENIED',
    message: (at, ssh) => `${ssh.user} may not become root on ${at}.`,
    remedy: (ssh) =>
      `Allow it there, for example: ${ssh.user} ALL=(ALL) NOPASSWD: ALL in /etc/sudoers.d/${ssh.user} (and no requiretty).`,
  },
  {
    pattern: /a password is required|no password was provided|a terminal is required/i,
    code: 'SUDO_PASSWORD_MISSING',
    message: (at, ssh) => `sudo on ${at} asks ${ssh.user} for a password, and none was given.`,
    remedy: () => 'Name a file with the password as ssh.sudo_password_file, or allow sudo without one.',
  },
];

/** The report of a failed step. The order: what the node's script said, sudo, ssh, then what is left. */
export function classifySshFailure(failure: SshFailure, ssh: SshSettings, node: string): ErrorReport {
  const at = `${ssh.host}:${ssh.port}`;
  const evidence = lastLines(failure.stderr);
  const seen = { node, ...(evidence === '' ? {} : { evidence }) };
  const said = parseErrorText(failure.stderr);
  if (said !== undefined) return { ...said, node };
  if (failure.noSudo) {
    return {
      code: 'SUDO_MISSING',
      message: `There is no sudo on ${at}, and ${ssh.user} is not root.`,
      remedy: 'Install sudo there, or set ssh.user: root.',
      ...seen,
    };
  }
  if (failure.passwordRefused) return made(SUDO_RULES[0], at, ssh, seen);
  const rules = failure.ready ? [] : [...SUDO_RULES, ...SSH_RULES];
  const rule = rules.find(({ pattern }) => pattern.test(failure.stderr));
  if (rule !== undefined) return made(rule, at, ssh, seen);
  if (failure.code === 255 || failure.code === undefined) {
    return {
      code: 'SSH_CONNECTION_LOST',
      message: `The connection to ${at} broke off.`,
      remedy: 'Run it again: what is there already is kept. If it happens again, look at the log of sshd there.',
      ...seen,
    };
  }
  return {
    code: 'BOOTSTRAP_FAILED',
    message: failure.ready
      ? `Installing the agent on ${at} ended with ${failure.code}.`
      : `The login shell of ${ssh.user} on ${at} did not run our command (exit status ${failure.code}).`,
    remedy: failure.ready
      ? 'See what the node said; `journalctl -u kk-agent` there tells more.'
      : `Can ${ssh.user} run commands there? Try: ssh -p ${ssh.port} ${ssh.user}@${ssh.host} sh -c id`,
    ...seen,
  };
}

/** An error of the controller's own side of the step. */
export function clientError(code: string, message: string, remedy: string): KkError {
  return new KkError({ code, message, remedy });
}

function made(rule: Rule | undefined, at: string, ssh: SshSettings, seen: Partial<ErrorReport>): ErrorReport {
  if (rule === undefined) throw new Error('no such rule');
  return { code: rule.code, message: rule.message(at, ssh), remedy: rule.remedy(ssh), ...seen };
}

/** The name under which ssh keeps a host's key. */
function knownName(ssh: SshSettings): string {
  return ssh.port === 22 ? ssh.host : `[${ssh.host}]:${ssh.port}`;
}

function knownFile(ssh: SshSettings): string {
  return ssh.knownHostsFile === undefined ? '' : ` -f ${ssh.knownHostsFile}`;
}

const EVIDENCE_LINES = 15;

function lastLines(text: string): string {
  return text.trim().split(/\r?\n/).slice(-EVIDENCE_LINES).join('\n');
}
